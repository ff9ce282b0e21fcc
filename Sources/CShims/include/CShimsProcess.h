// Parts of Linux's process interface that Swift cannot import.
#ifndef CSHIMS_PROCESS_H
#define CSHIMS_PROCESS_H

#include <stddef.h>

// An argument of the command line as the kernel passed it, the program's name first; null after the last one, and if
// the C library does not pass arguments to constructors.
const char *shim_argument(int index);

// The path of this program as it was passed to the kernel, or NULL.
const char *shim_program_path(void);

// Forbids other processes of the user to read this one's memory, and the kernel to dump it: 0, or a negative errno.
int shim_forbid_dumps(void);

// Makes the kernel kill this process when the thread that started it ends: 0, or a negative errno.
int shim_die_with_parent(void);

// Names the thread that calls it, for tools such as top; the kernel keeps the first 15 bytes.
void shim_name_thread(const char *name);

// Flushes printed output: 0 if all output since the start of the process was written, else a negative errno.
int shim_flush_output(void);

// Makes all threads use the first thread's heap, so that memory freed by one serves the others; call it before there
// are other threads.
void shim_share_heap(void);

// The number of unused bytes in the heap, including those whose pages were returned to the kernel.
size_t shim_free_heap(void);

// Returns unused pages of the heap to the kernel, by a system call for each row of them; allocations wait meanwhile.
void shim_trim_heap(void);

// Makes a terminal pass on each key at once and without echo, including Ctrl-C: 0, or a negative errno.
int shim_take_keys(int fd);

// Undoes shim_take_keys, which must have succeeded.
void shim_give_keys_back(int fd);

#endif
