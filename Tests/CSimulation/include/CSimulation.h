// Makes a run of the whole program repeatable: random bytes come from a seed, and Swift's tables have a fixed order.
#ifndef CSIMULATION_H
#define CSIMULATION_H

#include <stdint.h>

// From now on, libsodium's random bytes for this thread come from a generator with `seed`.
void simulation_begin(uint64_t seed);

// This thread gets libsodium's random bytes from the system again.
void simulation_end(void);

// Whether the order of dictionaries and sets depends only on their contents and history.
int simulation_has_fixed_order(void);

#endif
