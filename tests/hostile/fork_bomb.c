// Has as many children alive at once as its argument says.

#include <signal.h>

#include "hostile.h"

int main(int argc, char** argv) {
  const int count = argc > 1 ? atoi(argv[1]) : 200;
  int result = 0;
  setpgid(0, 0);
  for (int i = 0; i < count && result == 0; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      pause();
      _exit(0);
    }
    if (child < 0) result = stopped("fork");
  }
  signal(SIGTERM, SIG_IGN);
  kill(0, SIGTERM);
  return result;
}
