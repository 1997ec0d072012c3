#include "transfer/source_address.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/status_macros.h"
#include "base/strings.h"
#include "curl/curl.h"
#include "transfer/ip_address.h"

namespace ncn::transfer {
namespace {

constexpr std::size_t kUrlBytesMax = 8192;
constexpr std::size_t kPrintedBytesMax = 200;

using UrlHandle = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

absl::Status Refused(std::string_view what) {
  return absl::InvalidArgumentError(base::ToAbsl(what));
}

std::optional<std::string> Part(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return std::nullopt;
  std::string copy(text);
  curl_free(text);
  return copy;
}

absl::StatusOr<UrlHandle> ParseUrl(const std::string& text) {
  if (text.empty()) return Refused("the address is empty");
  if (text.size() > kUrlBytesMax) {
    return Refused(
        base::StrCat("the address has ", text.size(), " bytes, more than ", kUrlBytesMax));
  }
  if (std::any_of(text.begin(), text.end(), [](char c) { return c <= ' ' || c > '~'; })) {
    return Refused("the address has characters that must be written as %XX");
  }
  UrlHandle url(curl_url(), curl_url_cleanup);
  const CURLUcode code = curl_url_set(url.get(), CURLUPART_URL, text.c_str(),
                                      CURLU_NON_SUPPORT_SCHEME | CURLU_DISALLOW_USER);
  if (code == CURLUE_USER_NOT_ALLOWED) {
    return Refused("the address holds a user or password; give access another way");
  }
  if (code != CURLUE_OK) {
    return Refused(base::StrCat("not a URL: ", std::string_view(curl_url_strerror(code))));
  }
  return url;
}

bool IsThisMachine(const std::string& host) {
  return host == "localhost" || host.ends_with(".localhost") ||
         KindOfHost(host) == AddressKind::kLoopback;
}

absl::Status CheckHttp(CURLU* url, bool allow_private_addresses) {
  const std::string scheme = Part(url, CURLUPART_SCHEME).value_or("");
  const std::string host = Part(url, CURLUPART_HOST).value_or("");
  if (scheme != "http" && scheme != "https") {
    return Refused(base::StrCat("leads to ", scheme, "://, where only https:// is followed"));
  }
  if (host.empty()) return Refused("the address names no host");
  if (scheme == "http" && !IsThisMachine(host)) {
    return Refused("http:// is for this machine alone; use https://");
  }
  if (const AddressKind kind = KindOfHost(host); kind != AddressKind::kPublic) {
    return CheckAddress(scheme == "https", kind, host, allow_private_addresses);
  }
  return absl::OkStatus();
}

// ipfs://CID/path behind a gateway.
absl::StatusOr<SourceAddress> ParseIpfs(CURLU* url, const DownloaderOptions& options) {
  if (options.ipfs_gateway.empty()) return Refused("no IPFS gateway is configured");
  const std::string cid = Part(url, CURLUPART_HOST).value_or("");
  if (cid.empty() ||
      !std::all_of(cid.begin(), cid.end(), [](unsigned char c) { return std::isalnum(c) != 0; })) {
    return Refused("the CID is not made of letters and digits");
  }
  std::string gateway = options.ipfs_gateway;
  while (gateway.ends_with('/')) gateway.pop_back();
  std::string path = Part(url, CURLUPART_PATH).value_or("");
  if (path == "/") path.clear();
  std::string location = base::StrCat(gateway, "/ipfs/", cid, path);
  if (absl::Status status = CheckHttpUrl(location, options.allow_private_addresses); !status.ok()) {
    return Refused(base::StrCat("the IPFS gateway: ", status.message()));
  }
  return SourceAddress{.kind = SourceAddress::Kind::kHttp, .location = std::move(location)};
}

absl::StatusOr<SourceAddress> ParseFile(CURLU* url) {
  // libcurl has dropped "localhost" and refused other hosts.
  std::optional<std::string> path = Part(url, CURLUPART_PATH, CURLU_URLDECODE);
  if (!path || !path->starts_with('/')) {
    return Refused("expected file:///absolute/path, without encoded control characters");
  }
  return SourceAddress{.kind = SourceAddress::Kind::kFile, .location = *std::move(path)};
}

absl::StatusOr<SourceAddress> Parse(const std::string& source, const DownloaderOptions& options) {
  ASSIGN_OR_RETURN(const UrlHandle url, ParseUrl(source));
  const std::string scheme = Part(url.get(), CURLUPART_SCHEME).value_or("");
  if (scheme == "http" || scheme == "https") {
    RETURN_IF_ERROR(CheckHttp(url.get(), options.allow_private_addresses));
    // As libcurl writes it, scheme and host in lower case.
    return SourceAddress{.kind = SourceAddress::Kind::kHttp,
                         .location = Part(url.get(), CURLUPART_URL).value_or(source)};
  }
  if (scheme == "file") return ParseFile(url.get());
  if (scheme == "ipfs") return ParseIpfs(url.get(), options);
  const auto reader = options.chunk_sources.find(scheme);
  if (reader == options.chunk_sources.end()) {
    return Refused(base::StrCat("nothing here reads ", scheme, "://"));
  }
  return SourceAddress{
      .kind = SourceAddress::Kind::kChunks, .location = source, .reader = reader->second};
}

}  // namespace

absl::StatusOr<SourceAddress> ParseSource(const std::string& source,
                                          const DownloaderOptions& options) {
  absl::StatusOr<SourceAddress> address = Parse(source, options);
  if (address.ok()) address->printable = PrintableSource(source);
  return address;
}

std::string PrintableSource(std::string_view source) {
  std::string text(source.substr(0, source.find_first_of("?#")));
  if (const std::size_t authority = text.find("://"); authority != std::string::npos) {
    const std::size_t begin = authority + 3;
    const std::size_t end = std::min(text.find('/', begin), text.size());
    const std::size_t at = text.substr(0, end).rfind('@');
    if (at != std::string::npos && at >= begin) text.erase(begin, at + 1 - begin);
  }
  for (char& c : text) {
    if (c < ' ' || c > '~') c = '?';
  }
  if (text.size() > kPrintedBytesMax) text = text.substr(0, kPrintedBytesMax) + "...";
  return text;
}

absl::Status CheckHttpUrl(const std::string& url, bool allow_private_addresses) {
  ASSIGN_OR_RETURN(const UrlHandle handle, ParseUrl(url));
  return CheckHttp(handle.get(), allow_private_addresses);
}

absl::StatusOr<std::string> ResolveRedirect(const std::string& url, const std::string& location,
                                            bool allow_private_addresses) {
  const UrlHandle base(curl_url(), curl_url_cleanup);
  if (location.empty() || location.size() > kUrlBytesMax ||
      curl_url_set(base.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) {
    return Refused("the redirect has no usable address");
  }
  const std::string from = Part(base.get(), CURLUPART_SCHEME).value_or("");
  // Setting a relative URL resolves it.
  if (curl_url_set(base.get(), CURLUPART_URL, location.c_str(), CURLU_NON_SUPPORT_SCHEME) !=
      CURLUE_OK) {
    return Refused("the redirect has no usable address");
  }
  std::string target = Part(base.get(), CURLUPART_URL).value_or("");
  RETURN_IF_ERROR(CheckHttpUrl(target, allow_private_addresses));
  if (from == "https" && Part(base.get(), CURLUPART_SCHEME) != "https") {
    return Refused("leads from https:// to http://");
  }
  return target;
}

absl::Status CheckAddress(bool https, AddressKind kind, std::string_view printed,
                          bool allow_private_addresses) {
  const auto refused = [&](std::string_view why) {
    return Refused(base::StrCat("leads to ", printed, ", ", why));
  };
  if (!https) {
    if (kind == AddressKind::kLoopback) return absl::OkStatus();
    return refused("and http:// is for this machine alone");
  }
  switch (kind) {
    case AddressKind::kPublic:
      return absl::OkStatus();
    case AddressKind::kForbidden:
      return refused("where no file is fetched from");
    case AddressKind::kLoopback:
    case AddressKind::kPrivate:
      break;
  }
  if (allow_private_addresses) return absl::OkStatus();
  return refused("which is not public; private addresses must be allowed");
}

}  // namespace ncn::transfer
