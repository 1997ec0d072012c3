// A server that is no bottleneck and a client that fetches from it, for pull.py and pull_kill.py.

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>

#include "base/strings.h"
#include "base/unique_fd.h"
#include "transfer/downloader.h"
#include "transfer/token_bucket.h"

namespace ncn::transfer {
namespace {

// With a limit small steps, so that the rate is even.
constexpr std::uint64_t kStepBytes = std::uint64_t{1} << 20;
constexpr std::uint64_t kLimitedStepBytes = 64 * 1024;

std::atomic<std::uint64_t> fetched_bytes = 0;

bool SendText(int fd, std::string_view text) {
  return ::send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

// Answers requests for one file, with and without ranges, until the client goes.
void ServeConnection(const base::UniqueFd& client, int file, std::uint64_t size_bytes,
                     std::uint64_t step_bytes, TokenBucket& bandwidth) {
  std::string pending;
  char chunk[4096];
  while (true) {
    const std::size_t end = pending.find("\r\n\r\n");
    if (end == std::string::npos) {
      const ssize_t got = ::recv(client.get(), chunk, sizeof(chunk), 0);
      if (got <= 0) return;
      pending.append(chunk, static_cast<std::size_t>(got));
      continue;
    }
    std::uint64_t first = 0;
    std::uint64_t last = size_bytes - 1;
    constexpr std::string_view kRange = "Range: bytes=";
    const std::size_t range = pending.find(kRange);
    const bool whole = range >= end;
    if (!whole) {
      char* rest = nullptr;
      first = std::strtoull(pending.c_str() + range + kRange.size(), &rest, 10);
      last = std::min<std::uint64_t>(last, std::strtoull(rest + 1, nullptr, 10));
    }
    pending.erase(0, end + 4);
    const std::string head =
        base::StrCat("HTTP/1.1 ", whole ? "200 OK" : "206 Partial Content",
                     "\r\nAccept-Ranges: bytes\r\nContent-Length: ", last + 1 - first,
                     "\r\nContent-Range: bytes ", first, "-", last, "/", size_bytes, "\r\n\r\n");
    if (!SendText(client.get(), head)) return;
    auto offset = static_cast<off_t>(first);
    while (static_cast<std::uint64_t>(offset) <= last) {
      const std::uint64_t want =
          std::min(step_bytes, last + 1 - static_cast<std::uint64_t>(offset));
      (void)bandwidth.Take(want, {});
      const ssize_t sent = ::sendfile(client.get(), file, &offset, want);
      if (sent <= 0) {
        // What the other side never acknowledged was not fetched.
        int unacknowledged_bytes = 0;
        ::ioctl(client.get(), SIOCOUTQ, &unacknowledged_bytes);
        fetched_bytes -= static_cast<std::uint64_t>(unacknowledged_bytes);
        return;
      }
      fetched_bytes += static_cast<std::uint64_t>(sent);
    }
  }
}

// Serves until its input ends. Prints the port, then, for each line that it reads, how many bytes
// were fetched so far.
int Serve(const char* path, std::uint64_t bytes_per_second) {
  const base::UniqueFd file(::open(path, O_RDONLY | O_CLOEXEC));
  struct stat info;
  const base::UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::fstat(file.get(), &info) != 0 || ::bind(listener.get(), generic, size) != 0 ||
      ::listen(listener.get(), 64) != 0 || ::getsockname(listener.get(), generic, &size) != 0) {
    std::perror(path);
    return 1;
  }
  std::signal(SIGPIPE, SIG_IGN);  // sendfile has no flag against it.
  TokenBucket bandwidth(bytes_per_second);
  std::cout << ntohs(address.sin_port) << std::endl;
  std::thread([&] {
    while (true) {
      base::UniqueFd client(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client.valid()) continue;
      std::thread([&, client = std::move(client)] {
        ServeConnection(client, file.get(), static_cast<std::uint64_t>(info.st_size),
                        bytes_per_second == 0 ? kStepBytes : kLimitedStepBytes, bandwidth);
      }).detach();
    }
  }).detach();
  for (std::string line; std::getline(std::cin, line);) std::cout << fetched_bytes << std::endl;
  std::_Exit(0);  // The threads would outlive what they use.
}

int Fetch(char** arguments) {
  DownloaderOptions options;
  options.staging = arguments[3];
  options.disk_reserve_bytes = 0;
  options.connections_per_file = std::strtoul(arguments[5], nullptr, 10);
  ProgressBoard board;
  const absl::Status status =
      Downloader(options).Fetch({{.name = "file",
                                  .size_bytes = std::strtoull(arguments[1], nullptr, 10),
                                  .sha256 = arguments[2],
                                  .sources = {arguments[0]},
                                  .target = arguments[4]}},
                                {}, &board)[0];
  if (!status.ok()) {
    std::cerr << status << std::endl;
    return 1;
  }
  std::cout << board.Read().total.fetched_bytes << std::endl;
  return 0;
}

}  // namespace
}  // namespace ncn::transfer

int main(int count, char** arguments) {
  const std::string_view command = count > 1 ? arguments[1] : "";
  if (command == "serve" && count == 4) {
    return ncn::transfer::Serve(arguments[2], std::strtoull(arguments[3], nullptr, 10));
  }
  if (command == "fetch" && count == 8) return ncn::transfer::Fetch(arguments + 2);
  std::cerr << "Usage: pull_benchmark serve FILE BYTES_PER_SECOND\n"
               "       pull_benchmark fetch URL SIZE SHA256 STAGING TARGET CONNECTIONS\n";
  return 2;
}
