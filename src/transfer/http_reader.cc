#include "transfer/http_reader.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/strings.h"
#include "curl/curl.h"
#include "transfer/http_answer.h"
#include "transfer/ip_address.h"
#include "transfer/source_address.h"

namespace ncn::transfer {
namespace {

constexpr int kRedirectsMax = 5;
constexpr long kBufferBytes = 512 * 1024;
constexpr int kLocalBufferBytes = 256 * 1024;
constexpr int kPollMs = 1000;  // What ends a wait earlier is the socket or `stop`.

ReadEnd GiveUp(absl::Status status) {
  return {.kind = ReadEnd::Kind::kGiveUp, .status = std::move(status)};
}

// Failures that another attempt will repeat.
bool IsLasting(CURLcode code) {
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return true;
    default:
      return false;
  }
}

}  // namespace

struct HttpReader::Handles {
  Handles() : easy(curl_easy_init()), multi(curl_multi_init()) {
    NCN_CHECK(easy != nullptr && multi != nullptr);
  }
  ~Handles() {
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
  }
  Handles(const Handles&) = delete;
  Handles& operator=(const Handles&) = delete;

  CURL* const easy;
  CURLM* const multi;
};

// One request and its answer.
class HttpReader::Exchange {
 public:
  Exchange(const Handles& handles, const DownloaderOptions& options, const std::string& url,
           const RangeRequest& request, const ByteSink& sink)
      : easy_(handles.easy),
        multi_(handles.multi),
        options_(options),
        url_(url),
        https_(url.starts_with("https:")),
        request_(request),
        whole_(request.length == request.size_bytes),
        sink_(sink),
        answer_(request, whole_) {}

  // The redirect's location, if the answer is one; else `end` tells how it went.
  std::optional<std::string> Run(const std::stop_token& stop, ReadEnd& end) {
    Prepare();
    const std::optional<CURLcode> code = Perform(stop);
    if (next_ == HttpAnswer::Next::kRedirect) return answer_.location();
    end = Judge(code);
    return {};
  }

 private:
  template <typename T>
  void Set(CURLoption option, T value) {
    NCN_CHECK(curl_easy_setopt(easy_, option, value) == CURLE_OK);
  }

  void Prepare() {
    curl_easy_reset(easy_);
    Set(CURLOPT_URL, url_.c_str());
    Set(CURLOPT_PROTOCOLS_STR, https_ ? "https" : "http");
    Set(CURLOPT_FOLLOWLOCATION, 0L);  // Redirects are ours to judge.
    Set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    Set(CURLOPT_HTTP_CONTENT_DECODING, 0L);
    Set(CURLOPT_USERAGENT, "compute-node");
    Set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
    Set(CURLOPT_NOSIGNAL, 1L);
    Set(CURLOPT_QUICK_EXIT, 1L);  // A name that is still being looked up keeps nobody.
    Set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
    Set(CURLOPT_BUFFERSIZE, BufferBytes());
    Set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    if (!options_.ca_file.empty()) Set(CURLOPT_CAINFO, options_.ca_file.c_str());
    if (!UsesProxy()) {
      Set(CURLOPT_PROXY, "");
      Set(CURLOPT_OPENSOCKETDATA, this);
      Set(CURLOPT_OPENSOCKETFUNCTION, &Exchange::OpenSocket);
    }
    if (!whole_) {
      range_ = base::StrCat(request_.offset, "-", request_.offset + request_.length - 1);
      Set(CURLOPT_RANGE, range_.c_str());
    }
    Set(CURLOPT_HEADERDATA, this);
    Set(CURLOPT_HEADERFUNCTION, &Exchange::TakeHeader);
    Set(CURLOPT_WRITEDATA, this);
    Set(CURLOPT_WRITEFUNCTION, &Exchange::TakeBody);
    Set(CURLOPT_ERRORBUFFER, error_);
  }

  bool UsesProxy() const { return options_.use_environment_proxy && https_; }

  // Under a limit, a tenth of a second's worth, so that a connection does not halt for long.
  long BufferBytes() const {
    constexpr long kBufferBytesMin = 16 * 1024;
    if (options_.bytes_per_second_max == 0) return kBufferBytes;
    const std::uint64_t tenth = options_.bytes_per_second_max / 10;
    return std::clamp(static_cast<long>(std::min<std::uint64_t>(tenth, kBufferBytes)),
                      kBufferBytesMin, kBufferBytes);
  }

  // Empty when stopped.
  std::optional<CURLcode> Perform(const std::stop_token& stop) {
    NCN_CHECK(curl_multi_add_handle(multi_, easy_) == CURLM_OK);
    std::optional<CURLcode> code;
    {
      const std::stop_callback wake(stop, [this] { curl_multi_wakeup(multi_); });
      while (!stop.stop_requested()) {
        int running = 0;
        NCN_CHECK(curl_multi_perform(multi_, &running) == CURLM_OK);
        int left = 0;
        if (const CURLMsg* message = curl_multi_info_read(multi_, &left); message != nullptr) {
          code = message->data.result;
          break;
        }
        curl_multi_poll(multi_, nullptr, 0, kPollMs, nullptr);
      }
    }
    curl_multi_remove_handle(multi_, easy_);
    return code;
  }

  ReadEnd Judge(std::optional<CURLcode> code) {
    if (next_ == HttpAnswer::Next::kEnd) return answer_.end();
    if (!sink_status_.ok()) return {.kind = ReadEnd::Kind::kSinkFailed, .status = sink_status_};
    if (excess_) {
      return GiveUp(absl::DataLossError(
          base::StrCat("sent more than the ", answer_.body_bytes(), " bytes that it promised")));
    }
    if (!code) return {.kind = ReadEnd::Kind::kRetry, .status = absl::CancelledError("stopped")};
    const bool complete = next_ == HttpAnswer::Next::kBody && taken_ == answer_.body_bytes();
    if (complete) {
      return {.kind = taken_ == request_.length ? ReadEnd::Kind::kComplete : ReadEnd::Kind::kShort};
    }
    if (*code == CURLE_OK) {
      return {.kind = ReadEnd::Kind::kRetry,
              .status = absl::UnavailableError(
                  base::StrCat("ended after ", taken_, " of ", answer_.body_bytes(), " bytes"))};
    }
    if (*code == CURLE_COULDNT_CONNECT && !address_status_.ok()) return GiveUp(address_status_);
    const char* what = error_[0] != '\0' ? error_ : curl_easy_strerror(*code);
    absl::Status status = absl::UnavailableError(base::StrCat(std::string_view(what)));
    return {.kind = IsLasting(*code) ? ReadEnd::Kind::kGiveUp : ReadEnd::Kind::kRetry,
            .status = std::move(status)};
  }

  // The address is the one that is connected to, after any look-up of a name.
  static curl_socket_t OpenSocket(void* self, curlsocktype purpose, curl_sockaddr* address) {
    auto& exchange = *static_cast<Exchange*>(self);
    const AddressKind kind = KindOfAddress(address->addr);
    absl::Status status = CheckAddress(exchange.https_, kind, PrintedAddress(address->addr),
                                       exchange.options_.allow_private_addresses);
    if (purpose != CURLSOCKTYPE_IPCXN) status = absl::InternalError("a socket of another kind");
    if (!status.ok()) {
      exchange.address_status_ = std::move(status);
      return CURL_SOCKET_BAD;
    }
    const int fd = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    // On this machine bytes need no time to travel: what waits in a large buffer would be lost when
    // the process is killed, and has left the processor's cache when it is read.
    if (kind == AddressKind::kLoopback) {
      ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &kLocalBufferBytes, sizeof(kLocalBufferBytes));
    }
    return fd;
  }

  static std::size_t TakeHeader(char* data, std::size_t, std::size_t size, void* self) {
    auto& exchange = *static_cast<Exchange*>(self);
    // Trailers of a chunked body say nothing that we would believe.
    if (exchange.next_ != HttpAnswer::Next::kMoreLines) return size;
    exchange.next_ = exchange.answer_.TakeLine({data, size});
    const bool go_on =
        exchange.next_ == HttpAnswer::Next::kMoreLines || exchange.next_ == HttpAnswer::Next::kBody;
    return go_on ? size : 0;
  }

  static std::size_t TakeBody(char* data, std::size_t, std::size_t size, void* self) {
    auto& exchange = *static_cast<Exchange*>(self);
    if (exchange.next_ != HttpAnswer::Next::kBody ||
        size > exchange.answer_.body_bytes() - exchange.taken_) {
      exchange.excess_ = true;
      return 0;
    }
    exchange.sink_status_ = exchange.sink_({data, size});
    if (!exchange.sink_status_.ok()) return 0;
    exchange.taken_ += size;
    return size;
  }

  CURL* const easy_;
  CURLM* const multi_;
  const DownloaderOptions& options_;
  const std::string& url_;
  const bool https_;
  const RangeRequest request_;
  const bool whole_;
  const ByteSink& sink_;

  HttpAnswer answer_;
  HttpAnswer::Next next_ = HttpAnswer::Next::kMoreLines;
  std::string range_;
  char error_[CURL_ERROR_SIZE] = {};
  std::uint64_t taken_ = 0;
  bool excess_ = false;
  absl::Status sink_status_;
  absl::Status address_status_;
};

HttpReader::HttpReader(const DownloaderOptions& options)
    : options_(options), handles_([] {
        static std::once_flag once;
        std::call_once(once, [] { NCN_CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); });
        return std::make_unique<Handles>();
      }()) {}

HttpReader::~HttpReader() = default;

ReadEnd HttpReader::Read(const std::string& url, const RangeRequest& request, const ByteSink& sink,
                         std::stop_token stop) {
  std::string at = url;
  for (int redirects = 0; redirects <= kRedirectsMax; ++redirects) {
    ReadEnd end;
    const std::optional<std::string> location =
        Exchange(*handles_, options_, at, request, sink).Run(stop, end);
    if (!location) return end;
    absl::StatusOr<std::string> target =
        ResolveRedirect(at, *location, options_.allow_private_addresses);
    if (!target.ok()) {
      return GiveUp(absl::Status(target.status().code(),
                                 base::StrCat("redirects to ", PrintableSource(*location), ": ",
                                              target.status().message())));
    }
    at = *std::move(target);
  }
  return GiveUp(
      absl::UnavailableError(base::StrCat("redirects more than ", kRedirectsMax, " times")));
}

}  // namespace ncn::transfer
