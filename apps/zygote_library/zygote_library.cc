// libncn_zygote.so: what makes a Python process a zygote. Loaded with ctypes by zygote.py inside
// the zygote's sandbox; the code of the launcher and of the set-up, in a form that needs nothing
// but the C library of any image.

#include "sandbox/launcher.h"

// Serves the node at these descriptors. 0 in each child, which is then in its sandbox and may go;
// below 0 in the zygote itself, at the end of the conversation. For a process of a single thread,
// between PyOS_BeforeFork and, in a child, PyOS_AfterFork_Child.
extern "C" __attribute__((visibility("default"))) int ncn_zygote_serve(int requests, int doorbell) {
  return ncn::sandbox::ServeAsZygote(requests, doorbell) ? 0 : -1;
}
