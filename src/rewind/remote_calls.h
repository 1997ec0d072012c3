#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "rewind/process_memory.h"
#include "rewind/snapshot.h"
#include "rewind/supervisor.h"

namespace ncn::rewind {

// Two loops as machine code that needs a page of its own: the first makes the system calls of a
// table one after the other, the second the copies of another table, within the process. They end
// at a breakpoint when both tables are done or a call returns what it should not. Each copy asks
// for the beginnings of the fourth behind it, which may be read beyond the table: there is stack.
inline constexpr std::array<unsigned char, 87> kLoops = {
    0x4d, 0x39, 0xf7,        // calls:  cmp r15, r14
    0x74, 0x29,              //         je copies
    0x49, 0x8b, 0x07,        //         mov rax, [r15]
    0x49, 0x8b, 0x7f, 0x08,  //         mov rdi, [r15 + 8]
    0x49, 0x8b, 0x77, 0x10,  //         mov rsi, [r15 + 16]
    0x49, 0x8b, 0x57, 0x18,  //         mov rdx, [r15 + 24]
    0x4d, 0x8b, 0x57, 0x20,  //         mov r10, [r15 + 32]
    0x4d, 0x8b, 0x47, 0x28,  //         mov r8, [r15 + 40]
    0x4d, 0x8b, 0x4f, 0x30,  //         mov r9, [r15 + 48]
    0x0f, 0x05,              //         syscall
    0x49, 0x3b, 0x47, 0x38,  //         cmp rax, [r15 + 56]
    0x75, 0x2e,              //         jne end
    0x49, 0x83, 0xc7, 0x40,  //         add r15, 64
    0xeb, 0xd2,              //         jmp calls
    0xfc,                    // copies: cld
    0x4d, 0x39, 0xe5,        // copy:   cmp r13, r12
    0x74, 0x22,              //         je end
    0x49, 0x8b, 0x45, 0x60,  //         mov rax, [r13 + 96]
    0x0f, 0x0d, 0x08,        //         prefetchw [rax]
    0x49, 0x8b, 0x45, 0x68,  //         mov rax, [r13 + 104]
    0x0f, 0x18, 0x08,        //         prefetcht0 [rax]
    0x49, 0x8b, 0x7d, 0x00,  //         mov rdi, [r13]
    0x49, 0x8b, 0x75, 0x08,  //         mov rsi, [r13 + 8]
    0x49, 0x8b, 0x4d, 0x10,  //         mov rcx, [r13 + 16]
    0x49, 0x83, 0xc5, 0x18,  //         add r13, 24
    0xf3, 0xa4,              //         rep movsb
    0xeb, 0xd9,              //         jmp copy
    0xcc,                    // end:    int3
};
// So many calls the loop makes at once.
inline constexpr std::size_t kCallsAtOnce = 128;

// Where so many bytes have room below a stack, out of reach of the code that uses it.
std::uint64_t RoomBelow(std::uint64_t stack_pointer, std::uint64_t bytes);

// System calls that a stopped process is made to make, at an instruction of the kernel's own code
// page. They change the main thread's registers and what lies below its stack pointer; whoever
// makes them restores both.
class RemoteCalls {
 public:
  using Arguments = std::array<std::uint64_t, 6>;
  struct Call {
    std::uint64_t number;
    Arguments arguments;
    std::uint64_t wanted;  // What it is to return.
  };

  // `stack_pointer` is the main thread's. The loops are mapped at `loop`, as the snapshot has them;
  // 0: they are not, or the process may have changed them. All outlive this.
  RemoteCalls(StoppedProcess& process, const ProcessMemory& memory, std::uint64_t instruction,
              std::uint64_t stack_pointer, std::uint64_t loop = 0)
      : process_(process),
        memory_(memory),
        instruction_(instruction),
        stack_pointer_(stack_pointer),
        loop_(loop) {}

  // What the call returns, -errno for an error.
  absl::StatusOr<std::int64_t> Make(long call, const Arguments& arguments);
  // FailedPrecondition when it returns anything but `wanted`.
  absl::Status Expect(long call, const Arguments& arguments, std::uint64_t wanted);
  // The same of many, in their order. By the loop it takes two switches of processes for
  // kCallsAtOnce of them, otherwise four for each.
  absl::Status ExpectAll(const std::vector<Call>& calls);
  // The same; then, where there is a loop, the process copies, too. `meanwhile` is called while it
  // does. The tables go below the stack and take up to TableBytes.
  absl::Status ExpectAll(const std::vector<Call>& calls, const std::vector<Copy>& copies,
                         const std::function<void()>& meanwhile);
  static std::uint64_t TableBytes(std::size_t copies) {
    return kCallsAtOnce * sizeof(Call) + copies * sizeof(Copy);
  }
  // Maps the loops, which stand at `offset` of an open file, at a free address, or where
  // the kernel likes for 0; where it is. 0: the sandbox does not allow it, and calls are made one
  // by one.
  absl::StatusOr<std::uint64_t> MapLoop(int file, std::uint64_t offset, std::uint64_t address);
  absl::Status UnmapLoop();
  // Hands it a descriptor over the conversation, of which `conversation` is our end; the number
  // that it has there.
  absl::StatusOr<int> HandOver(int descriptor, int conversation);
  // Lets it open a file for reading; the number of the descriptor.
  absl::StatusOr<int> Open(const std::string& path);
  absl::Status Close(int number);

 private:
  absl::Status Run(std::span<const Call> calls, std::span<const Copy> copies,
                   const std::function<void()>& meanwhile);
  // Room for so many bytes below the stack.
  absl::StatusOr<std::uint64_t> Scratch(std::uint64_t bytes) const;

  StoppedProcess& process_;
  const ProcessMemory& memory_;
  const std::uint64_t instruction_;
  const std::uint64_t stack_pointer_;
  std::uint64_t loop_;
};

}  // namespace ncn::rewind
