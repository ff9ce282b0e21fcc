#include "CShimsProcess.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <termios.h>

#ifdef __GLIBC__
static int argument_count;
static char **arguments;

__attribute__((constructor)) static void keep_arguments(int count, char **values) {
    argument_count = count;
    arguments = values;
}

const char *shim_argument(int index) { return index >= 0 && index < argument_count ? arguments[index] : NULL; }
#else
const char *shim_argument(int index) { (void)index; return NULL; }
#endif

const char *shim_program_path(void) { return (const char *)getauxval(AT_EXECFN); }

int shim_forbid_dumps(void) {
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0) return -errno;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : -errno;
}

int shim_die_with_parent(void) {
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 ? 0 : -errno;
}

void shim_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

int shim_flush_output(void) {
    if (fflush(stdout) != 0) return errno > 0 ? -errno : -EIO;
    return ferror(stdout) ? -EIO : 0;
}

void shim_share_heap(void) {
#ifdef M_ARENA_MAX
    mallopt(M_ARENA_MAX, 1);
#endif
}

size_t shim_free_heap(void) {
#ifdef M_ARENA_MAX
    return mallinfo2().fordblks;
#else
    return 0;
#endif
}

void shim_trim_heap(void) {
#ifdef M_ARENA_MAX
    malloc_trim(0);
#endif
}

static struct termios terminal_before;

int shim_take_keys(int fd) {
    if (tcgetattr(fd, &terminal_before) != 0) return -errno;
    struct termios state = terminal_before;
    state.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ISIG);
    return tcsetattr(fd, TCSANOW, &state) == 0 ? 0 : -errno;
}

void shim_give_keys_back(int fd) { tcsetattr(fd, TCSANOW, &terminal_before); }
