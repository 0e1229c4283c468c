/* A libc in front of libc: every call that changes a file below one folder is counted, and the
 * chosen one kills the process, fails, is cut short, or stops the process.
 *
 * Loaded with LD_PRELOAD into a process under test, so that production code needs no fail points
 * of its own and SQLite's calls are seen like any other. It follows paths, not descriptors: which
 * file a descriptor stands for is asked of /proc, so duplicated and inherited ones are right.
 * It must never change a call that is not below the folder.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* What happens at the chosen call. Known to Python by the same numbers. */
enum action {
  NOTHING = 0,
  KILL = 1, /* SIGKILL before it */
  TORN = 2, /* half of the bytes are written, then SIGKILL */
  FULL = 3, /* ENOSPC, and from then on for all that needs space */
  FAIL = 4, /* EIO, once */
  SHORT = 5, /* half of the bytes are written and said so; then as FULL */
  STOP = 6, /* SIGSTOP before it; it goes on after SIGCONT */
};

typedef void (*observer)(const char *call, const char *path, long number);

static char root[PATH_MAX];
static size_t root_length;
static atomic_long count, chosen, every;
static atomic_int action, is_full, observes_all;
static _Atomic(observer) watcher;
/* The observer runs Python, which may itself touch files: those calls are nobody's business. */
static __thread int is_inside;

#define REAL(type, name, ...)                                  \
  static type (*real)(__VA_ARGS__);                            \
  if (real == NULL) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

__attribute__((visibility("default"))) void faults_watch(const char *folder) {
  snprintf(root, sizeof root, "%s", folder);
  root_length = strlen(root);
}

__attribute__((visibility("default"))) void faults_arm(int what, long at, long then_every) {
  atomic_store(&count, 0);
  atomic_store(&is_full, 0);
  atomic_store(&chosen, at);
  atomic_store(&every, then_every);
  atomic_store(&action, what);
}

/* The disk has room again. What was chosen and has not come yet still comes. */
__attribute__((visibility("default"))) void faults_heal(void) { atomic_store(&is_full, 0); }

__attribute__((visibility("default"))) void faults_observe(observer told, int all) {
  atomic_store(&observes_all, all);
  atomic_store(&watcher, told);
}

__attribute__((visibility("default"))) long faults_count(void) { return atomic_load(&count); }

static const char *below(const char *path) {
  if (root_length == 0 || strncmp(path, root, root_length) != 0) return NULL;
  if (path[root_length] == '\0') return ".";
  return path[root_length] == '/' ? path + root_length + 1 : NULL;
}

/* The file of a descriptor, relative to the folder; NULL if it is elsewhere. */
static const char *file_of(int fd, char *buffer) {
  char link[64];
  if (root_length == 0 || is_inside) return NULL;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, buffer, PATH_MAX - 1);
  if (length <= 0 || buffer[0] != '/') return NULL;
  buffer[length] = '\0';
  return below(buffer);
}

/* The file of a path, relative to the folder; NULL if it is elsewhere. */
static const char *file_at(int folder, const char *path, char *buffer) {
  if (root_length == 0 || is_inside || path == NULL) return NULL;
  if (path[0] == '/') {
    snprintf(buffer, PATH_MAX, "%s", path);
    return below(buffer);
  }
  if (folder == AT_FDCWD) {
    if (getcwd(buffer, PATH_MAX) == NULL) return NULL;
  } else {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t length = readlink(link, buffer, PATH_MAX - 1);
    if (length <= 0) return NULL;
    buffer[length] = '\0';
  }
  size_t used = strlen(buffer);
  if (used + 1 + strlen(path) + 1 > PATH_MAX) return NULL;
  buffer[used] = '/';
  strcpy(buffer + used + 1, path);
  return below(buffer);
}

static void raise_now(int number) { syscall(SYS_kill, getpid(), number); }

/* Count a call. Returns 0 to let it through, an errno to fail it, or -1 to do half of it. */
static int meet(const char *call, const char *path, int grows, int has_bytes) {
  long number = atomic_fetch_add(&count, 1) + 1;
  long at = atomic_load(&chosen), step = atomic_load(&every);
  int what = atomic_load(&action);
  int is_chosen = what != NOTHING && at > 0 &&
                  (number == at || (step > 0 && number > at && (number - at) % step == 0));
  observer told = atomic_load(&watcher);
  if (told != NULL && (is_chosen || atomic_load(&observes_all))) {
    int before = errno;
    is_inside = 1;
    told(call, path, number);
    is_inside = 0;
    errno = before;
  }
  if (!is_chosen) return atomic_load(&is_full) && grows ? ENOSPC : 0;
  switch (what) {
    case KILL:
      raise_now(SIGKILL);
      break;
    case TORN:
      if (has_bytes) return -1;
      raise_now(SIGKILL);
      break;
    case FULL:
      atomic_store(&is_full, 1);
      return ENOSPC;
    case SHORT:
      atomic_store(&is_full, 1);
      return has_bytes ? -1 : ENOSPC;
    case FAIL:
      return EIO;
    case STOP:
      raise_now(SIGSTOP);
      break;
    default:
      break;
  }
  return 0;
}

static void after_half(void) {
  if (atomic_load(&action) == TORN) raise_now(SIGKILL);
}

/* Files that are opened: only creating and emptying change the disk. */

static int is_there(int folder, const char *path) {
  return faccessat(folder, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int refuse_open(const char *call, int folder, const char *path, int flags) {
  char buffer[PATH_MAX];
  if ((flags & (O_CREAT | O_TRUNC)) == 0) return 0;
  const char *file = file_at(folder, path, buffer);
  if (file == NULL) return 0;
  int before = errno;
  int grows = (flags & O_CREAT) && !is_there(folder, path);
  errno = before;
  return meet(call, file, grows, 0);
}

#define OPEN(name)                                              \
  int name(const char *path, int flags, ...) {                  \
    REAL(int, #name, const char *, int, ...);                   \
    mode_t mode = 0;                                            \
    if (flags & (O_CREAT | O_TMPFILE)) {                        \
      va_list rest;                                             \
      va_start(rest, flags);                                    \
      mode = va_arg(rest, mode_t);                              \
      va_end(rest);                                             \
    }                                                           \
    int refused = refuse_open("open", AT_FDCWD, path, flags);   \
    if (refused > 0) {                                          \
      errno = refused;                                          \
      return -1;                                                \
    }                                                           \
    return real(path, flags, mode);                             \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                            \
  int name(int folder, const char *path, int flags, ...) {      \
    REAL(int, #name, int, const char *, int, ...);              \
    mode_t mode = 0;                                            \
    if (flags & (O_CREAT | O_TMPFILE)) {                        \
      va_list rest;                                             \
      va_start(rest, flags);                                    \
      mode = va_arg(rest, mode_t);                              \
      va_end(rest);                                             \
    }                                                           \
    int refused = refuse_open("open", folder, path, flags);     \
    if (refused > 0) {                                          \
      errno = refused;                                          \
      return -1;                                                \
    }                                                           \
    return real(folder, path, flags, mode);                     \
  }
OPENAT(openat)
OPENAT(openat64)

/* Bytes. */

#define WRITE(name, shown, parameters, arguments, halved)        \
  ssize_t name parameters {                                      \
    REAL(ssize_t, #name, ARGUMENT_TYPES_##shown);                \
    char buffer[PATH_MAX];                                       \
    const char *file = file_of(fd, buffer);                      \
    if (file == NULL) return real arguments;                     \
    int refused = meet(#shown, file, 1, size > 1);               \
    if (refused > 0) {                                           \
      errno = refused;                                           \
      return -1;                                                 \
    }                                                            \
    if (refused == 0) return real arguments;                     \
    ssize_t written = real halved;                               \
    after_half();                                                \
    return written;                                              \
  }
#define ARGUMENT_TYPES_write int, const void *, size_t
#define ARGUMENT_TYPES_pwrite int, const void *, size_t, off64_t
WRITE(write, write, (int fd, const void *data, size_t size), (fd, data, size), (fd, data, size / 2))
WRITE(pwrite, pwrite, (int fd, const void *data, size_t size, off_t at), (fd, data, size, at),
      (fd, data, size / 2, at))
WRITE(pwrite64, pwrite, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at),
      (fd, data, size / 2, at))

#define REFUSE(call, file, grows)              \
  if (file != NULL) {                          \
    int refused = meet(call, file, grows, 0);  \
    if (refused > 0) {                         \
      errno = refused;                         \
      return -1;                               \
    }                                          \
  }

ssize_t writev(int fd, const struct iovec *parts, int number) {
  REAL(ssize_t, "writev", int, const struct iovec *, int);
  char buffer[PATH_MAX];
  const char *file = file_of(fd, buffer);
  REFUSE("writev", file, 1);
  return real(fd, parts, number);
}

#define ON_FD(name, shown, grows)           \
  int name(int fd) {                        \
    REAL(int, #name, int);                  \
    char buffer[PATH_MAX];                  \
    const char *file = file_of(fd, buffer); \
    REFUSE(shown, file, grows);             \
    return real(fd);                        \
  }
ON_FD(fsync, "fsync", 0)
ON_FD(fdatasync, "fdatasync", 0)

#define FTRUNCATE(name, kind)               \
  int name(int fd, kind length) {           \
    REAL(int, #name, int, kind);            \
    char buffer[PATH_MAX];                  \
    const char *file = file_of(fd, buffer); \
    REFUSE("ftruncate", file, 0);           \
    return real(fd, length);                \
  }
FTRUNCATE(ftruncate, off_t)
FTRUNCATE(ftruncate64, off64_t)

#define FALLOCATE(name, kind)                              \
  int name(int fd, int mode, kind from, kind length) {     \
    REAL(int, #name, int, int, kind, kind);                \
    char buffer[PATH_MAX];                                 \
    const char *file = file_of(fd, buffer);                \
    REFUSE("fallocate", file, 1);                          \
    return real(fd, mode, from, length);                   \
  }
FALLOCATE(fallocate, off_t)
FALLOCATE(fallocate64, off64_t)

/* This one returns the error instead of setting it. */
#define POSIX_FALLOCATE(name, kind)                         \
  int name(int fd, kind from, kind length) {                \
    REAL(int, #name, int, kind, kind);                      \
    char buffer[PATH_MAX];                                  \
    const char *file = file_of(fd, buffer);                 \
    if (file != NULL) {                                     \
      int refused = meet("fallocate", file, 1, 0);          \
      if (refused > 0) return refused;                      \
    }                                                       \
    return real(fd, from, length);                          \
  }
POSIX_FALLOCATE(posix_fallocate, off_t)
POSIX_FALLOCATE(posix_fallocate64, off64_t)

int fchmod(int fd, mode_t mode) {
  REAL(int, "fchmod", int, mode_t);
  char buffer[PATH_MAX];
  const char *file = file_of(fd, buffer);
  REFUSE("chmod", file, 0);
  return real(fd, mode);
}

/* Names. */

#define ON_PATH(name, shown, grows, parameters, types, arguments, folder) \
  int name parameters {                                                    \
    REAL(int, #name, types);                                               \
    char buffer[PATH_MAX];                                                 \
    const char *file = file_at(folder, path, buffer);                      \
    REFUSE(shown, file, grows);                                            \
    return real arguments;                                                 \
  }
#define TYPES(...) __VA_ARGS__
ON_PATH(unlink, "unlink", 0, (const char *path), TYPES(const char *), (path), AT_FDCWD)
ON_PATH(rmdir, "rmdir", 0, (const char *path), TYPES(const char *), (path), AT_FDCWD)
ON_PATH(unlinkat, "unlink", 0, (int in, const char *path, int flags),
        TYPES(int, const char *, int), (in, path, flags), in)
ON_PATH(mkdir, "mkdir", 1, (const char *path, mode_t mode), TYPES(const char *, mode_t),
        (path, mode), AT_FDCWD)
ON_PATH(mkdirat, "mkdir", 1, (int in, const char *path, mode_t mode),
        TYPES(int, const char *, mode_t), (in, path, mode), in)
ON_PATH(chmod, "chmod", 0, (const char *path, mode_t mode), TYPES(const char *, mode_t),
        (path, mode), AT_FDCWD)
ON_PATH(fchmodat, "chmod", 0, (int in, const char *path, mode_t mode, int flags),
        TYPES(int, const char *, mode_t, int), (in, path, mode, flags), in)
ON_PATH(truncate, "truncate", 0, (const char *path, off_t length), TYPES(const char *, off_t),
        (path, length), AT_FDCWD)
ON_PATH(truncate64, "truncate", 0, (const char *path, off64_t length),
        TYPES(const char *, off64_t), (path, length), AT_FDCWD)

/* Of two names the new one is told. */
ON_PATH(rename, "rename", 0, (const char *from, const char *path),
        TYPES(const char *, const char *), (from, path), AT_FDCWD)
ON_PATH(renameat, "rename", 0, (int source, const char *from, int in, const char *path),
        TYPES(int, const char *, int, const char *), (source, from, in, path), in)
ON_PATH(renameat2, "rename", 0,
        (int source, const char *from, int in, const char *path, unsigned int flags),
        TYPES(int, const char *, int, const char *, unsigned int), (source, from, in, path, flags),
        in)
ON_PATH(link, "link", 1, (const char *from, const char *path), TYPES(const char *, const char *),
        (from, path), AT_FDCWD)
ON_PATH(linkat, "link", 1, (int source, const char *from, int in, const char *path, int flags),
        TYPES(int, const char *, int, const char *, int), (source, from, in, path, flags), in)
ON_PATH(symlink, "link", 1, (const char *from, const char *path), TYPES(const char *, const char *),
        (from, path), AT_FDCWD)
