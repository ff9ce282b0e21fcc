#define _GNU_SOURCE
#include "CSimulation.h"

#include <dlfcn.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local uint64_t state;
static _Thread_local int is_simulated;

// SplitMix64.
static uint64_t next(void) {
    uint64_t mixed = state += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
}

static const char *name(void) { return "simulation"; }

static uint32_t draw(void) {
    return is_simulated ? (uint32_t)next() : randombytes_sysrandom_implementation.random();
}

static void fill(void *const bytes, const size_t size) {
    if (!is_simulated) {
        randombytes_sysrandom_implementation.buf(bytes, size);
        return;
    }
    for (size_t done = 0; done < size; done += 8) {
        uint64_t bits = next();
        size_t left = size - done;
        memcpy((char *)bytes + done, &bits, left < 8 ? left : 8);
    }
}

static struct randombytes_implementation implementation = {
    .implementation_name = name,
    .random = draw,
    .buf = fill,
};

// Swift's runtime takes its hash seeds from this structure (stdlib/public/SwiftShims).
struct hashing_parameters {
    uint64_t seed0, seed1;
    unsigned char is_deterministic;
};

static struct hashing_parameters *hashing(void) { return dlsym(RTLD_DEFAULT, "_swift_stdlib_Hashing_parameters"); }

// Runs before any table exists, because a table keeps its seed. libsodium draws a canary at its start, which must not
// come from the first simulation of the process.
__attribute__((constructor)) static void prepare(void) {
    randombytes_set_implementation(&implementation);
    if (sodium_init() < 0) abort();
    struct hashing_parameters *parameters = hashing();
    if (parameters) *parameters = (struct hashing_parameters){.is_deterministic = 1};
}

void simulation_begin(uint64_t seed) {
    state = seed;
    is_simulated = 1;
}

void simulation_end(void) { is_simulated = 0; }

int simulation_has_fixed_order(void) {
    struct hashing_parameters *parameters = hashing();
    return parameters && parameters->is_deterministic;
}
