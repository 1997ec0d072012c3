// Becomes root of a user namespace of its own.

#include <sched.h>

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  return unshare(CLONE_NEWUSER) == 0 ? 0 : stopped("unshare");
}
