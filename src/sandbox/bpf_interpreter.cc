#include "sandbox/bpf_interpreter.h"

#include <linux/filter.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <optional>

#include "absl/status/status.h"
#include "base/strings.h"

namespace ncn::sandbox {
namespace {

// The machine of classic BPF as seccomp restricts it: accumulator, index register, 16 words.
class Machine {
 public:
  explicit Machine(const seccomp_data& call) : call_(call) {}

  // Carries one instruction out; false when it is none that seccomp knows, or out of bounds.
  // Jumps move `next`, relative to the instruction that follows.
  bool Step(const sock_filter& op, std::size_t& next) {
    switch (BPF_CLASS(op.code)) {
      case BPF_LD:
        return Load(op, accumulator_);
      case BPF_LDX:
        return Load(op, index_);
      case BPF_ST:
        return Store(op, accumulator_);
      case BPF_STX:
        return Store(op, index_);
      case BPF_ALU:
        return Compute(op);
      case BPF_JMP:
        return Jump(op, next);
      case BPF_MISC:
        (BPF_MISCOP(op.code) == BPF_TAX ? index_ : accumulator_) =
            BPF_MISCOP(op.code) == BPF_TAX ? accumulator_ : index_;
        return true;
      default:
        return false;
    }
  }

  std::uint32_t Answer(const sock_filter& op) const {
    return BPF_RVAL(op.code) == BPF_A ? accumulator_ : op.k;
  }

 private:
  bool Load(const sock_filter& op, std::uint32_t& target) {
    switch (BPF_MODE(op.code)) {
      case BPF_IMM:
        target = op.k;
        return true;
      case BPF_LEN:
        target = sizeof(seccomp_data);
        return true;
      case BPF_MEM:
        if (op.k >= memory_.size()) return false;
        target = memory_[op.k];
        return true;
      case BPF_ABS:
        if (BPF_SIZE(op.code) != BPF_W || op.k % 4 != 0 || op.k >= sizeof(call_)) return false;
        std::memcpy(&target, reinterpret_cast<const char*>(&call_) + op.k, sizeof(target));
        return true;
      default:
        return false;
    }
  }

  bool Store(const sock_filter& op, std::uint32_t value) {
    if (op.k >= memory_.size()) return false;
    memory_[op.k] = value;
    return true;
  }

  bool Compute(const sock_filter& op) {
    const std::uint32_t operand = BPF_SRC(op.code) == BPF_X ? index_ : op.k;
    switch (BPF_OP(op.code)) {
      case BPF_AND:
        accumulator_ &= operand;
        return true;
      case BPF_OR:
        accumulator_ |= operand;
        return true;
      case BPF_ADD:
        accumulator_ += operand;
        return true;
      case BPF_SUB:
        accumulator_ -= operand;
        return true;
      default:
        return false;  // nothing that libseccomp emits
    }
  }

  bool Jump(const sock_filter& op, std::size_t& next) const {
    const std::uint32_t operand = BPF_SRC(op.code) == BPF_X ? index_ : op.k;
    bool taken = false;
    switch (BPF_OP(op.code)) {
      case BPF_JA:
        next += op.k;
        return true;
      case BPF_JEQ:
        taken = accumulator_ == operand;
        break;
      case BPF_JGT:
        taken = accumulator_ > operand;
        break;
      case BPF_JGE:
        taken = accumulator_ >= operand;
        break;
      case BPF_JSET:
        taken = (accumulator_ & operand) != 0;
        break;
      default:
        return false;
    }
    next += taken ? op.jt : op.jf;
    return true;
  }

  const seccomp_data& call_;
  std::uint32_t accumulator_ = 0;
  std::uint32_t index_ = 0;
  std::array<std::uint32_t, BPF_MEMWORDS> memory_{};
};

}  // namespace

absl::StatusOr<std::uint32_t> RunSeccompFilter(std::string_view bpf, const seccomp_data& call) {
  const std::size_t length = bpf.size() / sizeof(sock_filter);
  if (bpf.size() % sizeof(sock_filter) != 0 || length == 0 || length > BPF_MAXINSNS) {
    return absl::InvalidArgumentError("not an array of 1 to 4096 instructions");
  }
  Machine machine(call);
  // Jumps only go forward, so this ends.
  for (std::size_t at = 0; at < length;) {
    sock_filter op;
    std::memcpy(&op, bpf.data() + at * sizeof(op), sizeof(op));
    if (BPF_CLASS(op.code) == BPF_RET) return machine.Answer(op);
    std::size_t next = at + 1;
    if (!machine.Step(op, next)) {
      return absl::InvalidArgumentError(base::StrCat("bad instruction at ", at));
    }
    at = next;
  }
  return absl::InvalidArgumentError("the program ends without an answer");
}

}  // namespace ncn::sandbox
