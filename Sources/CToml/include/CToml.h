// Reads TOML by toml++, as a list of keys with the line and column of each.
#ifndef CTOML_H
#define CTOML_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    CTOML_STRING = 0,
    CTOML_INTEGER = 1,
    CTOML_FLOAT = 2,
    CTOML_BOOLEAN = 3,
    CTOML_DATE = 4,
    CTOML_ARRAY = 5,
    CTOML_TABLE = 6
};

// One key of a table, or one element of an array behind its array's entry.
struct ctoml_entry {
    // The key's path with dots between, not terminated; an element has its array's.
    const char *path;
    size_t path_length;
    // Whether it is an element of an array.
    int is_element;
    int kind;
    // A string's bytes.
    const char *text;
    size_t text_length;
    int64_t integer;
    double number;
    // From 1.
    uint32_t line;
    uint32_t column;
};

// Why a text is no TOML, and where.
struct ctoml_failure {
    char message[256];
    uint32_t line;
    uint32_t column;
};

typedef void (*ctoml_visitor)(void *context, const struct ctoml_entry *entry);

// Calls `visit` for each key of the text, tables before what they hold: 0, or -1 with `failure` filled.
int ctoml_read(
    const char *text, size_t length, void *context, ctoml_visitor visit, struct ctoml_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
