/* What differs between hiredis 0.14 and 1.x for us: the type in which a reader counts an array's
 * elements. */
#ifndef RLK_HIREDIS_COMPAT_H
#define RLK_HIREDIS_COMPAT_H

#include <hiredis/hiredis.h>

#if HIREDIS_MAJOR >= 1
typedef size_t rlk_reader_count;
#else
typedef int rlk_reader_count;
#endif

#endif
