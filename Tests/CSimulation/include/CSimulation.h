// What makes a run of the whole program the same for the same seed: randomness by seed, and tables of Swift in a fixed order.
#ifndef CSIMULATION_H
#define CSIMULATION_H

#include <stdint.h>

// From now on libsodium draws for this thread from a generator of `seed`.
void simulation_begin(uint64_t seed);

// This thread draws from the system again.
void simulation_end(void);

// Whether dictionaries and sets have an order that depends on their contents and history alone.
int simulation_has_fixed_order(void);

#endif
