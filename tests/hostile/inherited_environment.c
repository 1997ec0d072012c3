// Looks for a secret in its environment.

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  errno = ENOENT;
  return getenv("COMPUTE_NODE_PRIVATE_KEY") != NULL ? 0 : stopped("COMPUTE_NODE_PRIVATE_KEY");
}
