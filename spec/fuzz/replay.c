/* Runs a fuzz target over the files that are named, without a fuzzer: what is in the corpus stays
 * true on every compiler. Prints how many there were. */
#include <stdio.h>
#include <stdlib.h>

#include "input.h"

#define INPUT_MAX (1024 * 1024)

#pragma weak LLVMFuzzerInitialize

static void replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(INPUT_MAX);
    if (!file || !bytes) {
        perror(path);
        exit(2);
    }
    size_t len = fread(bytes, 1, INPUT_MAX, file);
    fclose(file);
    uint8_t *exact =
        realloc(bytes, len > 0 ? len : 1); /* reading past it is noticed by sanitizers */
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
}

int main(int argc, char **argv)
{
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        fprintf(stderr, "%s\n", argv[i]); /* the last one is whose fault it was */
        replay(argv[i]);
    }
    printf("%d inputs\n", argc - 1);
    return 0;
}
