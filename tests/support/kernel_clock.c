/* What libfaketime leaves out, in front of it: whether the kernel calls its clock synchronized, and
 * sleeps by the clock that is not faked, which libfaketime 0.9.10 refuses (EINVAL).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

/* Synchronized as long as the file that this variable names is there. */
static const char *const SYNCED = "TEST_CLOCK_SYNCED";

int adjtimex(struct timex *state) {
    const char *path = getenv(SYNCED);
    (void)state;
    return path != NULL && access(path, F_OK) == 0 ? TIME_OK : TIME_ERROR;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wanted,
                    struct timespec *left) {
    return syscall(SYS_clock_nanosleep, clock, flags, wanted, left) == 0 ? 0 : errno;
}
