/* SPDX-License-Identifier: Apache-2.0
 *
 * Lets the N-th write or sync of a file fail, as a broken or full disk does (fault 19).
 * It is loaded before the C library (LD_PRELOAD) and told by the environment:
 *
 *   FAULTY_CALL   sync or write
 *   FAULTY_FILE   the end of the file's path
 *   FAULTY_AT     which call fails, from 1
 *   FAULTY_ERRNO  with which error
 *   FAULTY_ARMED  calls count only while this file exists
 *   FAULTY_TRACE  a file that gets one line for the fault, and one for each later sync or write of the same file
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_int calls;
static atomic_int failed;

static void *libc(const char *name) { return dlsym(RTLD_NEXT, name); }

static int is_ours(int file) {
    const char *suffix = getenv("FAULTY_FILE");
    char link[64], path[4096];
    if (suffix == NULL) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    size_t wanted = strlen(suffix);
    return (size_t)length >= wanted && strcmp(path + length - wanted, suffix) == 0;
}

static void trace(const char *what, int file) {
    const char *path = getenv("FAULTY_TRACE");
    char line[64];
    ssize_t (*real_write)(int, const void *, size_t) = libc("write");
    if (path == NULL) return;
    int out = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (out < 0) return;
    int length = snprintf(line, sizeof line, "%s %d\n", what, file);
    if (real_write(out, line, (size_t)length) != length) abort();
    close(out);
}

/* Returns whether this call is to fail, with errno set. */
static int fails(const char *kind, int file) {
    const char *call = getenv("FAULTY_CALL"), *armed = getenv("FAULTY_ARMED");
    if (call == NULL || armed == NULL || !is_ours(file)) return 0;
    if (atomic_load(&failed)) {
        trace(kind, file);
        return 0;
    }
    if (strcmp(call, kind) != 0 || access(armed, F_OK) != 0) return 0;
    if (atomic_fetch_add(&calls, 1) + 1 != atoi(getenv("FAULTY_AT"))) return 0;
    atomic_store(&failed, 1);
    trace("failed", file);
    errno = atoi(getenv("FAULTY_ERRNO"));
    return 1;
}

int fsync(int file) {
    if (fails("sync", file)) return -1;
    return ((int (*)(int))libc("fsync"))(file);
}

int fdatasync(int file) {
    if (fails("sync", file)) return -1;
    return ((int (*)(int))libc("fdatasync"))(file);
}

ssize_t write(int file, const void *data, size_t size) {
    if (fails("write", file)) return -1;
    return ((ssize_t (*)(int, const void *, size_t))libc("write"))(file, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at) {
    if (fails("write", file)) return -1;
    return ((ssize_t (*)(int, const void *, size_t, off_t))libc("pwrite"))(file, data, size, at);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    if (fails("write", file)) return -1;
    return ((ssize_t (*)(int, const void *, size_t, off64_t))libc("pwrite64"))(file, data, size, at);
}
