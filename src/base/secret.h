#pragma once

#include <string.h>

#include <string>
#include <string_view>
#include <utility>

namespace ncn::base {

// Text that must not end up in a log, an error or a core: it cannot be printed or compared, and its
// memory is overwritten when it goes. Movable only.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  // A moved-from short string keeps its bytes; a copy that is then wiped does not.
  // NOLINTNEXTLINE(performance-move-constructor-init): see above.
  Secret(Secret&& other) noexcept : text_(other.text_) { other.Wipe(); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      Wipe();
      text_ = other.text_;
      other.Wipe();
    }
    return *this;
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret() { Wipe(); }

  bool empty() const { return text_.empty(); }
  // For the one place that turns it into a key.
  std::string_view Reveal() const { return text_; }

 private:
  void Wipe() {
    ::explicit_bzero(text_.data(), text_.size());
    text_.clear();
  }

  std::string text_;
};

}  // namespace ncn::base
