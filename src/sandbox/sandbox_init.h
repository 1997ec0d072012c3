#pragma once

namespace ncn::sandbox {

// What pid 1 of a sandbox does, right after clone3 and until it ends: awaits its LaunchRequest on
// `control`, its end of the sandbox's channel to the node, builds the tree, drops what it can,
// makes the payload (pid 2), which puts on the remaining layers, says that it is held and waits for
// kGo; then reaps, reports how the payload ended, and exits, which ends all that is left inside.
// `mapped` yields one byte when the launcher has written the identity maps. The caller must be
// single-threaded.
[[noreturn]] void RunSandboxInit(int control, int mapped);

// The same for the child of a zygote, which is pid 1 and payload in one: returns when the node lets
// it go, with its standard streams as its only descriptors. Whatever was loaded before it was
// cloned is there; nothing else of the zygote's can be reached.
void EnterSandbox(int control, int mapped);

}  // namespace ncn::sandbox
