// Raises the limit on its memory, as far as its hard one.

#include <sys/resource.h>

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  // Even asking is refused; without a sandbox anybody may.
  struct rlimit limit;
  if (getrlimit(RLIMIT_AS, &limit) != 0) return stopped("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  return setrlimit(RLIMIT_AS, &limit) == 0 ? 0 : stopped("setrlimit");
}
