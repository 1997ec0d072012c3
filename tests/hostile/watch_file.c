// Watches what others do with a file, the one that its argument names.

#include <sys/inotify.h>

#include "hostile.h"

int main(int argc, char** argv) {
  const int fd = inotify_init1(IN_CLOEXEC);
  if (fd < 0) return stopped("inotify_init1");
  return inotify_add_watch(fd, argv[argc - 1], IN_OPEN) >= 0 ? 0 : stopped("inotify_add_watch");
}
