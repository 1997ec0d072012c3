// Does nothing for as many seconds as its argument says, deaf to polite signals.

#include <signal.h>

#include "hostile.h"

int main(int argc, char** argv) {
  unsigned left = argc > 1 ? (unsigned)atoi(argv[1]) : 60;
  for (int number = 1; number < 32; ++number) signal(number, SIG_IGN);
  while (left > 0) left = sleep(left);
  return 0;
}
