/* A disk that has no room, fails or takes no writes, under the files of one database: loaded
 * before libc (LD_PRELOAD), so it needs neither root nor a file system of its own.
 *
 * TEST_DISK     the file that says what the disk is like: "no room", "errors" or "read-only";
 *               while it is not there, all is well
 * TEST_DISK_OF  part of the path of the files that it is about
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *told, *part;

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("TEST_DISK"), *of = getenv("TEST_DISK_OF");
    /* Copies: PostgreSQL writes its title over the environment it was started with. */
    told = file ? strdup(file) : NULL;
    part = of ? strdup(of) : NULL;
}

/* The first letter of what is said; 0: all is well. */
static char disk(void) {
    char word = 0;
    if (!told || !part) return 0;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, told, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    if (syscall(SYS_read, fd, &word, 1) != 1) word = 0;
    syscall(SYS_close, fd);
    return word;
}

static int is_meant(int fd) {
    char link[40], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, part) != NULL;
}

/* Why so many bytes are not written there; 0: they are. Without room a file takes what fits into
 * it as it is. */
static int refusal(int fd, off_t at, off_t count) {
    int kept = errno, why = 0;
    char word = disk();
    struct stat file;
    if (word && is_meant(fd)) {
        if (word == 'r') why = EROFS;
        if (word == 'e') why = EIO;
        if (word == 'n' && fstat(fd, &file) == 0 && at + count > file.st_size) why = ENOSPC;
    }
    errno = kept;
    return why;
}

#define REAL(type, name, ...)                                       \
    static type (*real)(__VA_ARGS__);                               \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name);

#define UNLESS_REFUSED(fd, at, count)         \
    int why = refusal(fd, at, count);         \
    if (why) {                                \
        errno = why;                          \
        return -1;                            \
    }

static off_t length(const struct iovec *pieces, int count) {
    off_t all = 0;
    for (int n = 0; n < count; n++) all += (off_t)pieces[n].iov_len;
    return all;
}

ssize_t write(int fd, const void *data, size_t count) {
    REAL(ssize_t, write, int, const void *, size_t)
    UNLESS_REFUSED(fd, lseek(fd, 0, SEEK_CUR), (off_t)count)
    return real(fd, data, count);
}

#define PWRITE(name)                                                     \
    ssize_t name(int fd, const void *data, size_t count, off_t at) {     \
        REAL(ssize_t, name, int, const void *, size_t, off_t)            \
        UNLESS_REFUSED(fd, at, (off_t)count)                             \
        return real(fd, data, count, at);                                \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define PWRITEV(name)                                                          \
    ssize_t name(int fd, const struct iovec *pieces, int count, off_t at) {    \
        REAL(ssize_t, name, int, const struct iovec *, int, off_t)             \
        UNLESS_REFUSED(fd, at, length(pieces, count))                          \
        return real(fd, pieces, count, at);                                    \
    }
PWRITEV(pwritev)
PWRITEV(pwritev64)

#define FALLOCATE(name)                                     \
    int name(int fd, off_t at, off_t count) {               \
        REAL(int, name, int, off_t, off_t)                  \
        int why = refusal(fd, at, count);                   \
        return why ? why : real(fd, at, count);             \
    }
FALLOCATE(posix_fallocate)
FALLOCATE(posix_fallocate64)

#define TRUNCATE(name)                                      \
    int name(int fd, off_t size) {                          \
        REAL(int, name, int, off_t)                         \
        char word = disk();                                 \
        if ((word == 'r' || word == 'e') && is_meant(fd)) { \
            errno = word == 'r' ? EROFS : EIO;              \
            return -1;                                      \
        }                                                   \
        return real(fd, size);                              \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

static int sync_fails(int fd) { return disk() == 'e' && is_meant(fd); }

#define SYNC(name)                                     \
    int name(int fd) {                                 \
        REAL(int, name, int)                           \
        if (sync_fails(fd)) {                          \
            errno = EIO;                               \
            return -1;                                 \
        }                                              \
        return real(fd);                               \
    }
SYNC(fsync)
SYNC(fdatasync)

/* A file system that takes no writes opens nothing for writing. */
#define OPEN(name)                                                                         \
    int name(const char *path, int flags, ...) {                                           \
        REAL(int, name, const char *, int, ...)                                            \
        mode_t mode = 0;                                                                   \
        if (flags & O_CREAT) {                                                             \
            va_list more;                                                                  \
            va_start(more, flags);                                                         \
            mode = va_arg(more, mode_t);                                                   \
            va_end(more);                                                                  \
        }                                                                                  \
        if ((flags & O_ACCMODE) != O_RDONLY && part && strstr(path, part) && disk() == 'r') { \
            errno = EROFS;                                                                 \
            return -1;                                                                     \
        }                                                                                  \
        return real(path, flags, mode);                                                    \
    }
OPEN(open)
OPEN(open64)

int unlink(const char *path) {
    REAL(int, unlink, const char *)
    if (part && strstr(path, part) && disk() == 'r') {
        errno = EROFS;
        return -1;
    }
    return real(path);
}
