#include <ares.h>

// ares_options, with zeros behind it: a newer library than this header knows more fields, and reads those whose bit in the
// mask is set.
union cares_options {
    struct ares_options options;
    unsigned char room[512];
};

// ARES_OPT_QUERY_CACHE, with the field qcache_max_ttl, of c-ares 1.23 and later. Older libraries ignore the bit.
enum { CARES_OPT_QUERY_CACHE = 1 << 21 };
