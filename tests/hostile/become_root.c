// Becomes the user 0.

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  return setuid(0) == 0 ? 0 : stopped("setuid");
}
