// What Swift cannot do to measure itself: counting calls of the allocator, and telling callgrind when to count.
#pragma once
#include <stdint.h>

/// Calls of malloc, calloc, realloc, aligned_alloc, memalign and posix_memalign so far, of all threads.
uint64_t micro_allocations(void);
/// Bytes that the allocator has handed out and not got back, with what it keeps beside them.
uint64_t micro_allocated_bytes(void);
/// Resident memory of the process in bytes.
uint64_t micro_resident_bytes(void);
/// Whether the process runs under valgrind.
int micro_is_counted(void);
/// Begins or ends the part that callgrind counts; nothing outside of valgrind.
void micro_toggle(void);
