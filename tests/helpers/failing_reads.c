/* Let reads of one file fail, in whatever library they are made: LD_PRELOAD puts this before the C library. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static char failing[PATH_MAX];
static atomic_long reads, first_failing, last_failing;

/* Let a file fail at its reads of these numbers, counted from 0; no path is no file. */
void fail_reads(const char *path, long first, long last) {
    failing[0] = 0;
    atomic_store(&reads, 0);
    atomic_store(&first_failing, first);
    atomic_store(&last_failing, last);
    strncpy(failing, path, PATH_MAX - 1);
}

long reads_made(void) { return atomic_load(&reads); }

static int fails(int file) {
    char link[64], path[PATH_MAX];
    size_t length = strlen(failing);
    if (!length) return 0;
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t bytes = readlink(link, path, sizeof path);
    errno = before;
    if (bytes != (ssize_t)length || memcmp(path, failing, length)) return 0;
    long number = atomic_fetch_add(&reads, 1);
    if (number < atomic_load(&first_failing) || number > atomic_load(&last_failing)) return 0;
    errno = EIO;
    return 1;
}

#define FAILING(name, parameters, arguments)                              \
    ssize_t name parameters {                                             \
        static ssize_t(*call) parameters;                                 \
        if (fails(file)) return -1;                                       \
        if (!call) call = (ssize_t(*) parameters)dlsym(RTLD_NEXT, #name); \
        return call arguments;                                            \
    }

FAILING(read, (int file, void *to, size_t most), (file, to, most))
FAILING(pread, (int file, void *to, size_t most, off_t at), (file, to, most, at))
FAILING(pread64, (int file, void *to, size_t most, off_t at), (file, to, most, at))
FAILING(readv, (int file, const struct iovec *to, int parts), (file, to, parts))
FAILING(preadv, (int file, const struct iovec *to, int parts, off_t at), (file, to, parts, at))
FAILING(preadv64, (int file, const struct iovec *to, int parts, off_t at), (file, to, parts, at))
