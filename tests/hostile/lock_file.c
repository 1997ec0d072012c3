// Locks a file that others see as well, which tells them something: by flock, a record lock
// ("record"), an open file's ("open") or a lease ("lease").

#include <sys/file.h>

#include "hostile.h"

int main(int argc, char** argv) {
  const char* way = argc > 2 ? argv[2] : "flock";
  struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
  const int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
  int result = -1;
  if (fd < 0) return stopped(argv[1]);
  if (strcmp(way, "flock") == 0) result = flock(fd, LOCK_EX | LOCK_NB);
  if (strcmp(way, "record") == 0) result = fcntl(fd, F_SETLK, &lock);
  if (strcmp(way, "open") == 0) result = fcntl(fd, F_OFD_SETLK, &lock);
  if (strcmp(way, "lease") == 0) result = fcntl(fd, F_SETLEASE, F_RDLCK);
  return result >= 0 ? 0 : stopped(way);
}
