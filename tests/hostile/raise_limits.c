// Raises the limit on its memory.

#include <sys/resource.h>

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  const struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
  return setrlimit(RLIMIT_AS, &limit) == 0 ? 0 : stopped("setrlimit");
}
