// What Swift cannot import of Linux' process interface.
#ifndef CSHIMS_PROCESS_H
#define CSHIMS_PROCESS_H

#include <stddef.h>

// An argument of the command line as the kernel gave it, the program's name first; null behind the last one, and where the C
// library does not hand arguments to constructors.
const char *shim_argument(int index);

// The path by which the kernel was asked to start this program, as it was given, or NULL.
const char *shim_program_path(void);

// Keeps other processes of the user from reading this one's memory, and the kernel from dumping it: 0, or a negative errno.
int shim_forbid_dumps(void);

// Has the kernel kill this process when the thread that started it ends: 0, or a negative errno.
int shim_die_with_parent(void);

// Hands what was printed to the kernel: 0 if all of it since the start of the process is there, else a negative errno.
int shim_flush_output(void);

// Has all threads share the heap of the first, so that what one frees serves the others: to be called before there are others.
void shim_share_heap(void);

// How many bytes of the heap hold nothing; those whose pages the kernel has back are among them.
size_t shim_free_heap(void);

// Gives the pages of the heap that hold nothing back to the kernel, by a system call for each row of them; who allocates meanwhile waits.
void shim_trim_heap(void);

// Has a terminal hand over each key at once and unseen, Ctrl-C among them: 0, or a negative errno.
int shim_take_keys(int fd);

// Undoes shim_take_keys, which has succeeded.
void shim_give_keys_back(int fd);

#endif
