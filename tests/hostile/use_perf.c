// Counts events of the processor.

#include <linux/perf_event.h>

#include "hostile.h"

int main(int argc, char** argv) {
  struct perf_event_attr attributes;
  (void)argc, (void)argv;
  memset(&attributes, 0, sizeof(attributes));
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.size = sizeof(attributes);
  attributes.config = PERF_COUNT_SW_TASK_CLOCK;
  attributes.exclude_kernel = 1;
  return syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0) >= 0 ? 0
                                                                      : stopped("perf_event_open");
}
