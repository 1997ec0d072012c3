#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "rewind/process_memory.h"
#include "rewind/snapshot.h"
#include "rewind/supervisor.h"

namespace ncn::rewind {

// A loop that makes the calls of a table one after the other, as machine code that needs a page of
// its own. It ends at a breakpoint when the table is done or a call returns what it should not.
inline constexpr std::array<unsigned char, 47> kCallingLoop = {
    0x4d, 0x39, 0xf7,        // loop: cmp r15, r14
    0x74, 0x29,              //       je end
    0x49, 0x8b, 0x07,        //       mov rax, [r15]
    0x49, 0x8b, 0x7f, 0x08,  //       mov rdi, [r15 + 8]
    0x49, 0x8b, 0x77, 0x10,  //       mov rsi, [r15 + 16]
    0x49, 0x8b, 0x57, 0x18,  //       mov rdx, [r15 + 24]
    0x4d, 0x8b, 0x57, 0x20,  //       mov r10, [r15 + 32]
    0x4d, 0x8b, 0x47, 0x28,  //       mov r8, [r15 + 40]
    0x4d, 0x8b, 0x4f, 0x30,  //       mov r9, [r15 + 48]
    0x0f, 0x05,              //       syscall
    0x49, 0x3b, 0x47, 0x38,  //       cmp rax, [r15 + 56]
    0x75, 0x06,              //       jne end
    0x49, 0x83, 0xc7, 0x40,  //       add r15, 64
    0xeb, 0xd2,              //       jmp loop
    0xcc,                    // end:  int3
};

// The same for a table of copies within the process.
inline constexpr std::array<unsigned char, 26> kCopyingLoop = {
    0xfc,                    //       cld
    0x4d, 0x39, 0xf7,        // loop: cmp r15, r14
    0x74, 0x13,              //       je end
    0x49, 0x8b, 0x3f,        //       mov rdi, [r15]
    0x49, 0x8b, 0x77, 0x08,  //       mov rsi, [r15 + 8]
    0x49, 0x8b, 0x4f, 0x10,  //       mov rcx, [r15 + 16]
    0x49, 0x83, 0xc7, 0x18,  //       add r15, 24
    0xf3, 0xa4,              //       rep movsb
    0xeb, 0xe8,              //       jmp loop
    0xcc,                    // end:  int3
};
// Where it stands behind the calling loop.
inline constexpr std::uint64_t kCopyingLoopOffset = 64;

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
  // The same of many, in their order. By the calling loop it takes two switches of processes in
  // all, otherwise four for each call.
  absl::Status ExpectAll(const std::vector<Call>& calls);
  // Maps the calling loop, which stands at `offset` of an open file, at a free address, or where
  // the kernel likes for 0; where it is. 0: the sandbox does not allow it, and calls are made one
  // by one.
  absl::StatusOr<std::uint64_t> MapLoop(int file, std::uint64_t offset, std::uint64_t address);
  absl::Status UnmapLoop();
  // Lets the process copy, by the copying loop behind the calling one; there is room for the table
  // below the stack. `meanwhile` is called while it does.
  absl::Status CopyAll(const std::vector<Copy>& copies, const std::function<void()>& meanwhile);
  // Hands it a descriptor over the conversation, of which `conversation` is our end; the number
  // that it has there.
  absl::StatusOr<int> HandOver(int descriptor, int conversation);
  // Lets it open a file for reading; the number of the descriptor.
  absl::StatusOr<int> Open(const std::string& path);
  absl::Status Close(int number);

 private:
  // Room for so many bytes below the stack.
  absl::StatusOr<std::uint64_t> Scratch(std::uint64_t bytes) const;

  StoppedProcess& process_;
  const ProcessMemory& memory_;
  const std::uint64_t instruction_;
  const std::uint64_t stack_pointer_;
  std::uint64_t loop_;
};

}  // namespace ncn::rewind
