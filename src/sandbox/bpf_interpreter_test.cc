#include "sandbox/bpf_interpreter.h"

#include <gtest/gtest.h>
#include <linux/filter.h>

#include <vector>

namespace ncn::sandbox {
namespace {

std::string_view Bytes(const std::vector<sock_filter>& program) {
  return {reinterpret_cast<const char*>(program.data()), program.size() * sizeof(sock_filter)};
}

absl::StatusOr<std::uint32_t> AnswerOf(const std::vector<sock_filter>& program) {
  const seccomp_data call{.nr = 7, .arch = 0xc000003e, .instruction_pointer = 0, .args = {0xf00}};
  return RunSeccompFilter(Bytes(program), call);
}

TEST(BpfInterpreterTest, LoadsComparesAndReturns) {
  EXPECT_EQ(
      AnswerOf({BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 7, 1, 0),
                BPF_STMT(BPF_RET | BPF_K, 1), BPF_STMT(BPF_RET | BPF_K, 2)})
          .value(),
      2U);
  EXPECT_EQ(
      AnswerOf({BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf0f),
                BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LD | BPF_IMM, 0), BPF_STMT(BPF_LD | BPF_MEM, 3),
                BPF_STMT(BPF_RET | BPF_A, 0)})
          .value(),
      0xf00U);
}

TEST(BpfInterpreterTest, MovesBetweenItsRegisters) {
  EXPECT_EQ(AnswerOf({BPF_STMT(BPF_LD | BPF_IMM, 5), BPF_STMT(BPF_MISC | BPF_TAX, 0),
                      BPF_STMT(BPF_LD | BPF_IMM, 2), BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0),
                      BPF_STMT(BPF_RET | BPF_A, 0)})
                .value(),
            7U);
}

TEST(BpfInterpreterTest, RefusesWhatTheKernelWouldRefuse) {
  EXPECT_FALSE(RunSeccompFilter("", {}).ok());
  EXPECT_FALSE(RunSeccompFilter("1234567", {}).ok());
  EXPECT_FALSE(AnswerOf({BPF_STMT(BPF_LD | BPF_IMM, 0)}).ok());           // no answer
  EXPECT_FALSE(AnswerOf({BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64)}).ok());  // past the call
  EXPECT_FALSE(AnswerOf({BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2)}).ok());   // not aligned
  EXPECT_FALSE(AnswerOf({BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0)}).ok());   // not a word
  EXPECT_FALSE(AnswerOf({BPF_STMT(BPF_ST, 16)}).ok());                    // past the memory
  EXPECT_FALSE(AnswerOf({BPF_STMT(BPF_JMP | BPF_JA, 0xffffffff)}).ok());  // past the end
  EXPECT_FALSE(RunSeccompFilter(std::string(8 * (BPF_MAXINSNS + 1), '\0'), {}).ok());
}

}  // namespace
}  // namespace ncn::sandbox
