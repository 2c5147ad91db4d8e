/* Preloaded into a server, this library moves its clocks while it runs. The file named by MOVABLE_CLOCK
 * holds two offsets in nanoseconds, realtime and monotonic, that are added to what the kernel says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const int64_t unmoved[2];
static const volatile int64_t *offsets = unmoved;

__attribute__((constructor)) static void map_offsets(void) {
    const char *path = getenv("MOVABLE_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *shared = mmap(NULL, sizeof unmoved, PROT_READ, MAP_SHARED, fd, 0);
    if (shared != MAP_FAILED) offsets = shared;
    close(fd);
}

static int64_t offset_of(clockid_t clock) {
    switch (clock) {
    case CLOCK_REALTIME: case CLOCK_REALTIME_COARSE: return offsets[0];
    case CLOCK_MONOTONIC: case CLOCK_MONOTONIC_RAW: case CLOCK_MONOTONIC_COARSE: case CLOCK_BOOTTIME: return offsets[1];
    default: return 0; /* CPU time stays what it is */
    }
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    const int64_t second = 1000000000;
    if (syscall(SYS_clock_gettime, clock, now) != 0) return -1;
    int64_t offset = offset_of(clock), nanos = now->tv_nsec + offset % second;
    int64_t carry = nanos < 0 ? -1 : nanos >= second;
    now->tv_sec += offset / second + carry;
    now->tv_nsec = nanos - carry * second;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec moved;
    (void)zone; /* obsolete, and nobody asks for it */
    clock_gettime(CLOCK_REALTIME, &moved);
    now->tv_sec = moved.tv_sec;
    now->tv_usec = moved.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec moved;
    clock_gettime(CLOCK_REALTIME, &moved);
    if (now) *now = moved.tv_sec;
    return moved.tv_sec;
}

/* Valkey loads modules so that they see libc's own functions first (RTLD_DEEPBIND), and not the ones above. */
void *dlopen(const char *file, int flags) {
    void *(*real)(const char *, int) = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
    return real(file, flags & ~RTLD_DEEPBIND);
}

/* Valkey 9 asks the processor for the monotonic time, unless it can't read here that its clock is steady. */
static FILE *open_other_files(const char *symbol, const char *path, const char *mode) {
    FILE *(*real)(const char *, const char *) = (FILE *(*)(const char *, const char *))dlsym(RTLD_NEXT, symbol);
    return strcmp(path, "/proc/cpuinfo") == 0 ? NULL : real(path, mode);
}

FILE *fopen(const char *restrict path, const char *restrict mode) {
    return open_other_files("fopen", path, mode);
}

FILE *fopen64(const char *restrict path, const char *restrict mode) {
    return open_other_files("fopen64", path, mode);
}
