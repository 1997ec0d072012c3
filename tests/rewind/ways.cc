#include "ways.h"

#include <fcntl.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xmmintrin.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace ncn::rewind {
namespace {

constexpr std::uint64_t kSecret = 0x5ec2e75ec2e75ec2;
constexpr std::size_t kPage = 4096;

volatile std::uint64_t data_word = 1;
volatile std::uint64_t zeroed_word;
thread_local volatile std::uint64_t thread_word;
const volatile std::uint64_t constant_word = 7;
volatile std::uint64_t* heap_word;
unsigned char* area;  // 64 pages, anonymous, written at load time.
unsigned char* file_area;
char* heap_end;
int file = -1;
char spare_stack[1 << 16];

void* const kFixed = reinterpret_cast<void*>(0x7e0000000000);  // NOLINT

void MakeArea() {
  area = static_cast<unsigned char*>(
      ::mmap(nullptr, 64 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  std::memset(area, 1, 64 * kPage);
}
void MakeFileArea() {
  const int program = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  file_area =
      static_cast<unsigned char*>(::mmap(nullptr, 16 * kPage, PROT_READ, MAP_PRIVATE, program, 0));
  ::close(program);
}
void OpenFile() { file = ::open("/proc/self/exe", O_RDONLY); }
bool Writable(void* page) {
  // The kernel writes there, or says that it cannot; nothing faults.
  return ::syscall(SYS_clock_gettime, CLOCK_MONOTONIC, page) == 0;
}
bool Mapped(void* page) {
  unsigned char resident;
  return ::mincore(page, kPage, &resident) == 0;
}
void Nothing(int) {}
std::uint64_t* PageOf(const volatile void* address) {
  const auto number = reinterpret_cast<std::uintptr_t>(address) & ~(kPage - 1);
  return reinterpret_cast<std::uint64_t*>(number);  // NOLINT
}
bool Anonymous(void* page) {
  std::uint64_t entry = 0;
  const int pagemap = ::open("/proc/self/pagemap", O_RDONLY);
  const auto at = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(page) / kPage * 8);
  const bool read = ::pread(pagemap, &entry, 8, at) == 8;
  ::close(pagemap);
  return read && (entry >> 63) == 1 && ((entry >> 61) & 1) == 0;
}
std::uint64_t stack_below() {
  volatile std::uint64_t words[512];
  std::uint64_t found = 0;
  // What lies there already.
  for (std::size_t i = 0; i < 512; ++i) asm volatile("mov %1, %0" : "=r"(found) : "m"(words[i]));
  for (std::size_t i = 0; i < 512; ++i) {
    std::uint64_t word;
    asm volatile("mov %1, %0" : "=r"(word) : "m"(words[i]));
    if (word == kSecret) return word;
  }
  return found == kSecret ? found : 0;
}
void* FarDownTheStack() {
  return PageOf(static_cast<char*>(__builtin_frame_address(0)) - (1 << 20));
}
void fill_stack_below() {
  volatile std::uint64_t words[512];
  for (auto& word : words) word = kSecret;
}

}  // namespace

const std::vector<Way>& Ways() {
  static const std::vector<Way> ways = {
      {"a global variable", nullptr, [] { data_word = kSecret; },
       [] { return data_word == kSecret; }},
      {"a zeroed variable", nullptr, [] { zeroed_word = kSecret; },
       [] { return zeroed_word == kSecret; }},
      {"a thread's own variable", nullptr, [] { thread_word = kSecret; },
       [] { return thread_word == kSecret; }},
      {"the heap", [] { heap_word = new std::uint64_t(3); }, [] { *heap_word = kSecret; },
       [] { return *heap_word == kSecret; }},
      {"how far down the stack reaches", nullptr,
       [] {
         void* const page = FarDownTheStack();
         *static_cast<volatile char*>(page) = 1;
         ::madvise(page, kPage, MADV_DONTNEED);
       },
       [] { return Mapped(FarDownTheStack()); }},
      {"freed heap", nullptr,
       [] {
         auto* words = static_cast<volatile std::uint64_t*>(std::malloc(512));
         words[20] = kSecret;
         std::free(const_cast<std::uint64_t*>(words));
       },
       [] {
         auto* words = static_cast<volatile std::uint64_t*>(std::malloc(512));
         asm volatile("" : "+r"(words));
         return words[20] == kSecret;
       }},
      {"the stack below its pointer", nullptr, [] { fill_stack_below(); },
       [] { return stack_below() == kSecret; }},
      {"anonymous memory", MakeArea, [] { area[5 * kPage] = 77; },
       [] { return area[5 * kPage] == 77; }},
      {"a new mapping", nullptr,
       [] {
         ::mmap(kFixed, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                0);
       },
       [] { return Mapped(kFixed); }},
      {"a removed mapping", MakeArea, [] { ::munmap(area + 8 * kPage, kPage); },
       [] { return !Mapped(area + 8 * kPage); }},
      {"a moved mapping", MakeArea,
       [] { ::mremap(area, 4 * kPage, 4 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, kFixed); },
       [] { return Mapped(kFixed); }},
      {"a mapping that grew", MakeArea,
       [] { ::mremap(area + 63 * kPage, kPage, 8 * kPage, MREMAP_MAYMOVE); },
       [] { return !Mapped(area + 63 * kPage); }},
      {"other memory in the same place", MakeArea,
       [] {
         ::mmap(area, 4 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                -1, 0);
       },
       [] { return area[0] == 0; }},
      {"shared memory in the same place", MakeArea,
       [] {
         ::mmap(area, 64 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED,
                -1, 0);
         area[9] = 77;
       },
       [] { return area[9] == 77; }},
      {"permissions taken away", MakeArea, [] { ::mprotect(area, kPage, PROT_READ); },
       [] { return !Writable(area); }},
      {"permissions given", MakeArea,
       [] { ::mprotect(area, kPage, PROT_READ | PROT_WRITE | PROT_EXEC); },
       [] {
         char line[512];
         FILE* maps = ::fopen("/proc/self/maps", "r");
         bool found = false;
         while (::fgets(line, sizeof(line), maps) != nullptr) {
           found = found || std::strstr(line, "rwxp") != nullptr;
         }
         ::fclose(maps);
         return found;
       }},
      {"a constant", nullptr,
       [] {
         std::uint64_t* page = PageOf(&constant_word);
         ::mprotect(page, kPage, PROT_READ | PROT_WRITE);
         const_cast<std::uint64_t&>(constant_word) = kSecret;
         ::mprotect(page, kPage, PROT_READ);
       },
       [] { return constant_word == kSecret; }},
      {"code", nullptr,
       [] {
         auto* const page = reinterpret_cast<unsigned char*>(
             PageOf(reinterpret_cast<const void*>(&std::strtoull)));
         ::mprotect(page, kPage, PROT_READ | PROT_WRITE | PROT_EXEC);
         const_cast<volatile unsigned char&>(page[kPage - 1]) = 77;
         ::mprotect(page, kPage, PROT_READ | PROT_EXEC);
       },
       [] {
         return reinterpret_cast<unsigned char*>(
                    PageOf(reinterpret_cast<const void*>(&std::strtoull)))[kPage - 1] == 77;
       }},
      {"a private file mapping", MakeFileArea,
       [] {
         ::mprotect(file_area, kPage, PROT_READ | PROT_WRITE);
         file_area[100] = 77;
         ::mprotect(file_area, kPage, PROT_READ);
       },
       [] { return file_area[100] == 77; }},
      {"a page that was dropped", MakeArea,
       [] { ::madvise(area + 3 * kPage, kPage, MADV_DONTNEED); },
       [] { return area[3 * kPage] == 0; }},
      {"that a page was written",
       [] {
         MakeArea();
         ::madvise(area, 64 * kPage, MADV_DONTNEED);
       },
       [] { area[20 * kPage] = 0; }, [] { return Anonymous(area + 20 * kPage); }},
      {"the end of the heap", [] { heap_end = static_cast<char*>(::sbrk(0)); },
       [] { ::sbrk(64 * kPage); }, [] { return ::sbrk(0) > heap_end; }},
      {"advice on memory", MakeArea, [] { ::madvise(area, 64 * kPage, MADV_DONTFORK); },
       [] {
         const pid_t child = ::fork();
         if (child == 0) ::_exit(Mapped(area) ? 0 : 1);
         int status = 0;
         ::waitpid(child, &status, 0);
         return WEXITSTATUS(status) == 1;
       }},
      {"locked memory", MakeArea, [] { ::mlock(area, kPage); },
       [] { return ::madvise(area, kPage, MADV_DONTNEED) != 0; }},
      {"a memory policy", nullptr, [] { ::syscall(SYS_set_mempolicy, MPOL_LOCAL, nullptr, 0); },
       [] {
         int mode = 0;
         ::syscall(SYS_get_mempolicy, &mode, nullptr, 0, nullptr, 0);
         return mode == MPOL_LOCAL;
       }},
      {"the rounding of SSE", nullptr, [] { ::_mm_setcsr(::_mm_getcsr() | 0x6000); },
       [] { return (::_mm_getcsr() & 0x6000) == 0x6000; }},
      {"the rounding of x87", nullptr,
       [] {
         std::uint16_t word = 0x0f7f;
         asm volatile("fldcw %0" ::"m"(word));
       },
       [] {
         std::uint16_t word = 0;
         asm volatile("fnstcw %0" : "=m"(word));
         return word == 0x0f7f;
       }},
      {"a register of MMX", nullptr, [] { asm volatile("movq %0, %%mm5" ::"m"(kSecret)); },
       [] {
         std::uint64_t word = 0;
         asm volatile("movq %%mm5, %0\n\temms" : "=m"(word));
         return word == kSecret;
       }},
      {"a signal handler", nullptr, [] { ::signal(SIGUSR1, Nothing); },
       [] { return ::signal(SIGUSR1, SIG_DFL) == Nothing; }},
      {"an ignored signal", nullptr, [] { ::signal(SIGUSR2, SIG_IGN); },
       [] { return ::signal(SIGUSR2, SIG_DFL) == SIG_IGN; }},
      {"a signal mask", nullptr,
       [] {
         sigset_t set;
         ::sigemptyset(&set);
         ::sigaddset(&set, SIGUSR1);
         ::sigprocmask(SIG_BLOCK, &set, nullptr);
       },
       [] {
         sigset_t set;
         ::sigprocmask(SIG_BLOCK, nullptr, &set);
         return ::sigismember(&set, SIGUSR1) == 1;
       }},
      {"a pending signal",
       [] {
         sigset_t set;
         ::sigemptyset(&set);
         ::sigaddset(&set, SIGUSR1);
         ::sigprocmask(SIG_BLOCK, &set, nullptr);
       },
       [] { ::raise(SIGUSR1); },
       [] {
         sigset_t set;
         ::sigpending(&set);
         return ::sigismember(&set, SIGUSR1) == 1;
       }},
      {"an alternate stack", nullptr,
       [] {
         const stack_t stack{spare_stack, 0, sizeof(spare_stack)};
         ::sigaltstack(&stack, nullptr);
       },
       [] {
         stack_t stack;
         ::sigaltstack(nullptr, &stack);
         return stack.ss_sp == spare_stack;
       }},
      {"an alarm", nullptr, [] { ::alarm(3000); }, [] { return ::alarm(0) > 0; }},
      {"an interval timer", nullptr,
       [] {
         const itimerval value{{0, 0}, {3000, 0}};
         ::setitimer(ITIMER_PROF, &value, nullptr);
       },
       [] {
         itimerval value;
         ::getitimer(ITIMER_PROF, &value);
         return value.it_value.tv_sec > 0;
       }},
      {"a POSIX timer", nullptr,
       [] {
         sigevent event{};
         event.sigev_notify = SIGEV_NONE;
         int timer = 0;
         ::syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer);
       },
       [] { return ::syscall(SYS_timer_getoverrun, 0) == 0; }},
      {"a timer's descriptor", nullptr, [] { ::timerfd_create(CLOCK_MONOTONIC, 0); },
       [] { return ::fcntl(3, F_GETFD) == 0; }},
      {"a copy of a descriptor", nullptr, [] { ::dup2(1, 77); },
       [] { return ::fcntl(77, F_GETFD) == 0; }},
      {"an open file", nullptr, [] { ::open("/proc/self/exe", O_RDONLY); },
       [] { return ::fcntl(3, F_GETFD) == 0; }},
      {"a closed file", OpenFile, [] { ::close(file); },
       [] { return ::fcntl(file, F_GETFD) != 0; }},
      {"another file at the same number", OpenFile,
       [] {
         const int other = ::open("/etc/passwd", O_RDONLY);
         ::dup2(other, file);
         ::close(other);
       },
       [] {
         char byte = 0;
         return ::pread(file, &byte, 1, 0) == 1 && byte == 'r';
       }},
      {"a position in a file", OpenFile, [] { ::lseek(file, 77, SEEK_SET); },
       [] { return ::lseek(file, 0, SEEK_CUR) == 77; }},
      {"a position, moved by reading", OpenFile,
       [] {
         char bytes[77];
         static_cast<void>(::read(file, bytes, sizeof(bytes)) == 0);
       },
       [] { return ::lseek(file, 0, SEEK_CUR) == 77; }},
      {"the flags of a descriptor", OpenFile, [] { ::fcntl(file, F_SETFD, FD_CLOEXEC); },
       [] { return ::fcntl(file, F_GETFD) == FD_CLOEXEC; }},
      {"the flags of an open file", OpenFile, [] { ::fcntl(file, F_SETFL, O_NONBLOCK); },
       [] { return (::fcntl(file, F_GETFL) & O_NONBLOCK) != 0; }},
      {"a lock", OpenFile, [] { ::flock(file, LOCK_EX); },
       [] {
         const int again = ::open("/proc/self/exe", O_RDONLY);
         const bool locked = ::flock(again, LOCK_EX | LOCK_NB) != 0;
         ::close(again);
         return locked;
       }},
      {"the conversation's flags", nullptr, [] { ::fcntl(0, F_SETFD, FD_CLOEXEC); },
       [] { return ::fcntl(0, F_GETFD) == FD_CLOEXEC; }},
      {"the conversation's options", nullptr,
       [] {
         const timeval value{77, 0};
         ::setsockopt(0, SOL_SOCKET, SO_SNDTIMEO, &value, sizeof(value));
       },
       [] {
         timeval value{};
         socklen_t size = sizeof(value);
         ::getsockopt(0, SOL_SOCKET, SO_SNDTIMEO, &value, &size);
         return value.tv_sec == 77;
       }},
      {"a pipe", nullptr,
       [] {
         int ends[2];
         if (::pipe2(ends, O_CLOEXEC) == 0) static_cast<void>(::write(ends[1], "s", 1) == 1);
       },
       [] {
         char byte = 0;
         return ::fcntl(3, F_GETFD) >= 0 && ::read(3, &byte, 1) == 1 && byte == 's';
       }},
      {"an event counter", nullptr, [] { ::eventfd(7, EFD_NONBLOCK); },
       [] {
         std::uint64_t value = 0;
         return ::read(3, &value, sizeof(value)) == sizeof(value) && value == 7;
       }},
      {"an epoll set", nullptr, [] { ::epoll_create1(0); },
       [] { return ::fcntl(3, F_GETFD) == 0; }},
      {"a memory file", nullptr, [] { ::memfd_create("s", 0); },
       [] { return ::fcntl(3, F_GETFD) == 0; }},
      {"a socket pair", nullptr,
       [] {
         int ends[2];
         static_cast<void>(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
       },
       [] { return ::fcntl(3, F_GETFD) == 0; }},
      {"the current folder", nullptr, [] { static_cast<void>(::chdir("/etc") == 0); },
       [] {
         char path[512];
         return ::getcwd(path, sizeof(path)) != nullptr && std::strcmp(path, "/etc") == 0;
       }},
      {"the umask", nullptr, [] { ::umask(0123); }, [] { return ::umask(022) == 0123; }},
      {"a file", nullptr,
       [] { ::close(::open("/tmp/ncn_carry_over", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)); },
       [] {
         const bool there = ::access("/tmp/ncn_carry_over", F_OK) == 0;
         ::unlink("/tmp/ncn_carry_over");
         return there;
       }},
      {"a folder", nullptr, [] { ::mkdir("/tmp/ncn_carry_over_folder", 0700); },
       [] { return ::rmdir("/tmp/ncn_carry_over_folder") == 0; }},
      {"a thread", nullptr,
       [] {
         std::thread([] {
           while (true) ::pause();
         }).detach();
       },
       [] {
         struct stat info;
         return ::stat("/proc/self/task", &info) == 0 && info.st_nlink > 3;
       }},
      {"a child process", nullptr,
       [] {
         if (::fork() == 0) {
           ::prctl(PR_SET_PDEATHSIG, SIGKILL);
           while (true) ::pause();
         }
       },
       [] { return ::waitpid(-1, nullptr, WNOHANG) == 0; }},
      {"a zombie", nullptr,
       [] {
         if (::fork() == 0) ::_exit(77);
       },
       [] {
         int status = 0;
         return ::waitpid(-1, &status, 0) > 0 && WEXITSTATUS(status) == 77;
       }},
      {"the name of the process", nullptr, [] { ::prctl(PR_SET_NAME, "secret"); },
       [] {
         char name[16];
         ::prctl(PR_GET_NAME, name);
         return std::strcmp(name, "secret") == 0;
       }},
      {"dumpable", nullptr, [] { ::prctl(PR_SET_DUMPABLE, 0); },
       [] { return ::prctl(PR_GET_DUMPABLE) == 0; }},
      {"the signal of the parent's death", nullptr, [] { ::prctl(PR_SET_PDEATHSIG, SIGUSR2); },
       [] {
         int signal = 0;
         ::prctl(PR_GET_PDEATHSIG, &signal);
         return signal == SIGUSR2;
       }},
      {"timer slack", nullptr, [] { ::prctl(PR_SET_TIMERSLACK, 77777); },
       [] { return ::prctl(PR_GET_TIMERSLACK) == 77777; }},
      {"the affinity", nullptr,
       [] {
         cpu_set_t set;
         CPU_ZERO(&set);
         CPU_SET(0, &set);
         ::sched_setaffinity(0, sizeof(set), &set);
       },
       [] {
         cpu_set_t set;
         ::sched_getaffinity(0, sizeof(set), &set);
         return CPU_COUNT(&set) == 1;
       }},
      {"the scheduling class", nullptr,
       [] {
         const sched_param none{0};
         ::sched_setscheduler(0, SCHED_BATCH, &none);
       },
       [] { return ::sched_getscheduler(0) == SCHED_BATCH; }},
      {"the priority", nullptr, [] { ::setpriority(PRIO_PROCESS, 0, 7); },
       [] { return ::getpriority(PRIO_PROCESS, 0) == 7; }},
      {"a limit", nullptr,
       [] {
         const rlimit limit{77, 77};
         ::setrlimit(RLIMIT_CORE, &limit);
       },
       [] {
         rlimit limit;
         ::getrlimit(RLIMIT_CORE, &limit);
         return limit.rlim_cur == 77;
       }},
      {"the list of robust locks", nullptr, [] { ::syscall(SYS_set_robust_list, spare_stack, 24); },
       [] {
         void* head = nullptr;
         std::size_t size = 0;
         ::syscall(SYS_get_robust_list, 0, &head, &size);
         return head == spare_stack;
       }},
      {"System V shared memory", nullptr, [] { ::shmget(77177, kPage, IPC_CREAT | 0600); },
       [] {
         const int id = ::shmget(77177, kPage, 0600);
         ::shmctl(id, IPC_RMID, nullptr);
         return id >= 0;
       }},
      {"a System V semaphore", nullptr, [] { ::semget(77177, 1, IPC_CREAT | 0600); },
       [] {
         const int id = ::semget(77177, 1, 0600);
         ::semctl(id, 0, IPC_RMID);
         return id >= 0;
       }},
      {"a System V queue", nullptr, [] { ::msgget(77177, IPC_CREAT | 0600); },
       [] {
         const int id = ::msgget(77177, 0600);
         ::msgctl(id, IPC_RMID, nullptr);
         return id >= 0;
       }},
      {"the process group", nullptr, [] { ::setpgid(0, 0); },
       [] { return ::getpgid(0) == ::getpid(); }},
  };
  return ways;
}

}  // namespace ncn::rewind
