// The head of an answer is a server's, and a server may be anybody's. What is taken for a body is
// never more than what was asked for.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "transfer/http_answer.h"
#include "transfer/source_address.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using ncn::transfer::HttpAnswer;
  if (size == 0) return 0;
  const bool whole = data[0] % 2 == 0;
  std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const ncn::transfer::RangeRequest request = {
      .offset = whole ? 0U : 100U, .length = whole ? 1000U : 500U, .size_bytes = 1000};
  HttpAnswer answer(request, whole);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    const HttpAnswer::Next next = answer.TakeLine(text.substr(0, end));
    text.remove_prefix(end);
    if (next == HttpAnswer::Next::kBody && answer.body_bytes() > request.length) std::abort();
    if (next == HttpAnswer::Next::kEnd && answer.end().status.ok()) std::abort();
    if (next == HttpAnswer::Next::kRedirect) {
      const auto target =
          ncn::transfer::ResolveRedirect("https://example.com/f", answer.location(), false);
      if (target.ok() && !target->starts_with("https://")) std::abort();
    }
    if (next != HttpAnswer::Next::kMoreLines) break;
  }
  return 0;
}
