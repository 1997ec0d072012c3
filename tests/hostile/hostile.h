// Shared by the hostile programs. Each tries one thing and exits 0 when it did harm, 1 when it was
// stopped, and says by which errno. Compiled statically, so that it runs in any root file system.
#ifndef NCN_TESTS_HOSTILE_HOSTILE_H_
#define NCN_TESTS_HOSTILE_HOSTILE_H_

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static inline int stopped(const char* what) {
  const char* name = strerrorname_np(errno);
  fprintf(stderr, "%s: stopped by %s\n", what, name != NULL ? name : "?");
  return 1;
}

// Whether a file can be opened that way, and read from when for reading.
static inline int try_open(const char* path, int flags) {
  char byte;
  const int fd = open(path, flags | O_CLOEXEC);
  if (fd < 0) return stopped(path);
  if ((flags & O_ACCMODE) == O_RDONLY && read(fd, &byte, 1) < 0) return stopped(path);
  fprintf(stderr, "%s: opened\n", path);
  return 0;
}

// Copies a program to `to` and makes it executable. Exits when it cannot.
static inline void copy_program(const char* from, const char* to) {
  static char buffer[1 << 16];
  const int in = open(from, O_RDONLY | O_CLOEXEC);
  const int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
  ssize_t size;
  if (in < 0 || out < 0) exit(stopped("copy of a program"));
  while ((size = read(in, buffer, sizeof(buffer))) > 0) {
    if (write(out, buffer, (size_t)size) != size) exit(stopped("copy of a program"));
  }
  fchmod(out, 0755);
  close(in);
  close(out);
}

#endif  // NCN_TESTS_HOSTILE_HOSTILE_H_
