// Looks whether a crash would leave a core: as a file, or with the handler of a core_pattern, which
// a limit of 0 does not stop but one of 1 does.

#include <sys/resource.h>

#include "hostile.h"

int main(int argc, char** argv) {
  struct rlimit limit;
  (void)argc, (void)argv;
  if (getrlimit(RLIMIT_CORE, &limit) != 0) return stopped("getrlimit");
  fprintf(stderr, "limit of a core: %ld of %ld\n", (long)limit.rlim_cur, (long)limit.rlim_max);
  if (limit.rlim_max > 1 || limit.rlim_cur != limit.rlim_max) return 0;
  errno = EFBIG;
  return stopped("core");
}
