/* OpenSSL on memory BIOs. Errors are reported by their reason; nothing here sees a password. */
#include "io/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rlk_tls {
    SSL_CTX *context;
    bool verify;
    char *server_name;
};

struct rlk_tls_session {
    SSL *ssl; /* owns both BIOs */
    BIO *from_wire, *to_wire;
};

static void describe(char *error, size_t size, const char *what)
{
    unsigned long code = ERR_get_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    snprintf(error, size, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
}

/* For a key with a pass phrase: nobody is asked for it at a terminal. */
static int no_pass_phrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer, (void)size, (void)writing, (void)context;
    return 0;
}

static const char *load_files(SSL_CTX *context, const struct rlk_tls_options *options)
{
    if (options->ca_file || options->ca_path) {
        if (SSL_CTX_load_verify_locations(context, options->ca_file, options->ca_path) != 1)
            return "the CA certificates cannot be read";
    } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
        return "the system's CA certificates cannot be read";
    }
    if (!options->certificate)
        return NULL;
    SSL_CTX_set_default_passwd_cb(context, no_pass_phrase);
    const char *key = options->key ? options->key : options->certificate;
    if (SSL_CTX_use_certificate_chain_file(context, options->certificate) != 1)
        return "the client certificate cannot be read";
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        return "the client key cannot be read";
    if (SSL_CTX_check_private_key(context) != 1)
        return "the client key does not fit the certificate";
    return NULL;
}

struct rlk_tls *rlk_tls_new(const struct rlk_tls_options *options, char *error, size_t error_size)
{
    struct rlk_tls *tls = calloc(1, sizeof *tls);
    /* No exit handler: the engine's thread may be in OpenSSL when the program calls exit(). */
    OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL);
    SSL_CTX *context = tls ? SSL_CTX_new(TLS_client_method()) : NULL;
    ERR_clear_error();
    const char *problem = context ? load_files(context, options) : "no memory for TLS";
    if (problem) {
        describe(error, error_size, problem);
        SSL_CTX_free(context);
        free(tls);
        return NULL;
    }
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_verify(context, options->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    tls->context = context;
    tls->verify = options->verify;
    tls->server_name = options->server_name ? strdup(options->server_name) : NULL;
    return tls;
}

void rlk_tls_free(struct rlk_tls *tls)
{
    if (!tls)
        return;
    SSL_CTX_free(tls->context);
    free(tls->server_name);
    free(tls);
}

static bool is_address(const char *host)
{
    unsigned char address[16];
    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* The name that the certificate has to bear. */
static bool expect_host(SSL *ssl, const char *host, bool verify)
{
    bool address = is_address(host);
    if (!address && SSL_set_tlsext_host_name(ssl, host) != 1)
        return false;
    if (!verify)
        return true;
    if (address)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return SSL_set1_host(ssl, host) == 1;
}

struct rlk_tls_session *rlk_tls_open(const struct rlk_tls *tls, const char *host)
{
    struct rlk_tls_session *session = calloc(1, sizeof *session);
    if (!session)
        return NULL;
    session->ssl = SSL_new(tls->context);
    session->from_wire = BIO_new(BIO_s_mem());
    session->to_wire = BIO_new(BIO_s_mem());
    if (!session->ssl || !session->from_wire || !session->to_wire) {
        BIO_free(session->from_wire);
        BIO_free(session->to_wire);
        SSL_free(session->ssl);
        free(session);
        return NULL;
    }
    SSL_set_bio(session->ssl, session->from_wire, session->to_wire);
    SSL_set_connect_state(session->ssl);
    if (!expect_host(session->ssl, tls->server_name ? tls->server_name : host, tls->verify)) {
        rlk_tls_close(session);
        return NULL;
    }
    return session;
}

void rlk_tls_close(struct rlk_tls_session *session)
{
    if (!session)
        return;
    SSL_free(session->ssl);
    free(session);
}

static bool wants_bytes(SSL *ssl, int result)
{
    int error = SSL_get_error(ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

enum rlk_tls_progress rlk_tls_handshake(struct rlk_tls_session *session, char *error,
                                        size_t error_size)
{
    ERR_clear_error();
    int result = SSL_do_handshake(session->ssl);
    if (result == 1)
        return RLK_TLS_DONE;
    if (wants_bytes(session->ssl, result))
        return RLK_TLS_WANTS_BYTES;
    long verdict = SSL_get_verify_result(session->ssl);
    if (verdict != X509_V_OK) {
        ERR_clear_error();
        snprintf(error, error_size, "TLS: %s", X509_verify_cert_error_string(verdict));
    } else {
        describe(error, error_size, "TLS");
    }
    return RLK_TLS_FAILED;
}

/* Seconds until the certificate ends; INT64_MAX if it does not say. */
static int64_t valid_for_s(const X509 *certificate)
{
    int days, seconds;
    if (!ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate)))
        return INT64_MAX;
    return (int64_t)days * 86400 + seconds;
}

bool rlk_tls_look(const struct rlk_tls_session *session, struct rlk_tls_peer *peer)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(session->ssl);
    long verdict = SSL_get_verify_result(session->ssl);
    ERR_clear_error();
    *peer = (struct rlk_tls_peer){.valid_s = INT64_MAX};
    for (int i = 0; i < sk_X509_num(chain); i++) {
        int64_t valid_s = valid_for_s(sk_X509_value(chain, i));
        if (valid_s < peer->valid_s)
            peer->valid_s = valid_s;
    }
    if (verdict != X509_V_OK)
        peer->doubt = X509_verify_cert_error_string(verdict);
    return sk_X509_num(chain) > 0;
}

bool rlk_tls_feed(struct rlk_tls_session *session, const char *bytes, size_t len)
{
    return BIO_write(session->from_wire, bytes, (int)len) == (int)len;
}

long rlk_tls_read(struct rlk_tls_session *session, char *bytes, size_t size)
{
    ERR_clear_error();
    int len = SSL_read(session->ssl, bytes, (int)size);
    if (len > 0)
        return len;
    return wants_bytes(session->ssl, len) ? 0 : -1;
}

bool rlk_tls_has_unread(const struct rlk_tls_session *session)
{
    return SSL_pending(session->ssl) > 0 || BIO_ctrl_pending(session->from_wire) > 0;
}

bool rlk_tls_write(struct rlk_tls_session *session, const char *bytes, size_t len)
{
    ERR_clear_error();
    return len == 0 || SSL_write(session->ssl, bytes, (int)len) == (int)len;
}

bool rlk_tls_drain(struct rlk_tls_session *session, struct rlk_buffer *wire)
{
    char *bytes;
    long len = BIO_get_mem_data(session->to_wire, &bytes);
    if (len <= 0)
        return true;
    bool appended = rlk_buffer_append(wire, bytes, (size_t)len);
    (void)BIO_reset(session->to_wire);
    return appended;
}
