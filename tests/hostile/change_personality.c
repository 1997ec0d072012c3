// Turns off the randomisation of addresses.

#include <sys/personality.h>

#include "hostile.h"

int main(int argc, char** argv) {
  (void)argc, (void)argv;
  return personality(ADDR_NO_RANDOMIZE) >= 0 ? 0 : stopped("personality");
}
