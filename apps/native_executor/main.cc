// ncn_native_executor: runs ONNX models inside the sandbox, without Python.
//
//   ncn_native_executor --library FILE --requests 5 --doorbell 6              a zygote
//   ncn_native_executor --library FILE --model PATH --input FILE --output FILE   one request

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>

#include "native/file_contract.h"
#include "native/heap.h"
#include "native/onnx_runtime.h"
#include "native/ready_child.h"
#include "sandbox/launcher.h"

namespace ncn::apps {
namespace {

constexpr int kWrongArguments = 2;

using Options = std::map<std::string, std::string>;

bool Has(const Options& options, std::initializer_list<const char*> names) {
  if (options.size() != names.size()) return false;
  for (const char* name : names) {
    if (!options.contains(name)) return false;
  }
  return true;
}

int Descriptor(const std::string& text) {
  int fd = -1;
  std::from_chars(text.data(), text.data() + text.size(), fd);
  return fd;
}

// A fork copies the thread that calls it and no other.
bool HasOneThread() {
  std::error_code error;
  std::size_t threads = 0;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", error)) {
    threads += thread.path().empty() ? 0 : 1;
  }
  return !error && threads == 1;
}

// Returns in the zygote at the end of the conversation, and in each child at the end of its own.
int ServeAsZygote(const std::string& library, int requests, int doorbell) {
  const auto runtime = native::OnnxRuntime::Open(library);
  const absl::Status ready = runtime.ok() ? (*runtime)->Rehearse() : runtime.status();
  if (!ready.ok()) {
    std::fprintf(stderr, "zygote: %s\n", std::string(ready.message()).c_str());
    return 1;
  }
  if (!HasOneThread()) {
    std::fprintf(stderr, "zygote: more than one thread, which cannot be forked safely\n");
    return 1;
  }
  native::PrepareHeapToFork();
  if (!sandbox::ServeAsZygote(requests, doorbell)) return 0;
  return native::ServeReadyChild(**runtime, STDIN_FILENO);
}

int Main(const Options& options) {
  if (Has(options, {"--library", "--requests", "--doorbell"})) {
    return ServeAsZygote(options.at("--library"), Descriptor(options.at("--requests")),
                         Descriptor(options.at("--doorbell")));
  }
  if (Has(options, {"--library", "--model", "--input", "--output"})) {
    return native::RunFileContract(
        options.at("--library"),
        {options.at("--model"), options.at("--input"), options.at("--output")});
  }
  std::fprintf(stderr,
               "Usage: ncn_native_executor --library FILE --requests FD --doorbell FD\n"
               "       ncn_native_executor --library FILE --model PATH --input FILE --output FILE\n"
               "Both for a sandbox of compute_node.\n");
  return kWrongArguments;
}

}  // namespace
}  // namespace ncn::apps

int main(int argc, char** argv) {
  ncn::apps::Options options;
  for (int i = 1; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  if (argc % 2 == 0) options.clear();
  const int status = ncn::apps::Main(options);
  std::fflush(nullptr);
  // Nothing to tear down: the process and its memory end here.
  ::_exit(status);
}
