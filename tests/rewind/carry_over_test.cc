// Each way to carry something from one request to the next, with a rewind in between: nothing
// arrives. And, in a process that two requests share, everything does.
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>

#include "gtest/gtest.h"
#include "rewind_target.h"
#include "ways.h"

namespace ncn::rewind {
namespace {

constexpr std::uint32_t kPlant = 1 << 16, kFind = 2 << 16;

std::uint8_t Answer(std::uint32_t question) {
  const Way& way = Ways()[question & 0xffff];
  if ((question & kPlant) != 0) {
    way.plant();
    return 1;
  }
  return way.found() ? 1 : 0;
}

class CarryOverTest : public testing::TestWithParam<std::size_t> {
 protected:
  const Way& way() const { return Ways()[GetParam()]; }
  std::uint32_t number() const { return static_cast<std::uint32_t>(GetParam()); }
  ~CarryOverTest() override {
    // What a discarded process leaves is the sandbox's to remove; there is none here.
    ::unlink("/tmp/ncn_carry_over");
    ::rmdir("/tmp/ncn_carry_over_folder");
    ::shmctl(::shmget(77177, 4096, 0600), IPC_RMID, nullptr);
    ::semctl(::semget(77177, 1, 0600), 0, IPC_RMID);
    ::msgctl(::msgget(77177, 0600), IPC_RMID, nullptr);
  }
};

TEST_P(CarryOverTest, PassesWithinAProcess) {
  RewindTarget target(Answer, way().prepare);
  std::uint8_t found = 0;
  ASSERT_TRUE(target.Ask(kFind | number(), &found));
  EXPECT_EQ(found, 0) << "it is there before";
  RewindTarget again(Answer, way().prepare);
  ASSERT_TRUE(again.Ask(kPlant | number(), &found));
  ASSERT_TRUE(again.Ask(kFind | number(), &found));
  EXPECT_EQ(found, 1);
}

TEST_P(CarryOverTest, DoesNotPassARewind) {
  RewindTarget target(Answer, way().prepare);
  const absl::Status taken = target.Snapshot();
  ASSERT_TRUE(taken.ok()) << taken;
  std::uint8_t found = 0;
  ASSERT_TRUE(target.Ask(kPlant | number(), &found));
  const auto rewound = target.rewinder().Rewind();
  if (!rewound.ok()) {
    EXPECT_TRUE(absl::IsFailedPrecondition(rewound.status())) << rewound.status();
    RecordProperty("discarded", std::string(rewound.status().message()));
    return;  // The process is discarded.
  }
  ASSERT_TRUE(target.Ask(kFind | number(), &found));
  EXPECT_EQ(found, 0);
}

INSTANTIATE_TEST_SUITE_P(Ways, CarryOverTest, testing::Range<std::size_t>(0, Ways().size()),
                         [](const auto& info) {
                           std::string name = Ways()[info.param].name;
                           std::erase_if(name,
                                         [](char c) { return c == '\'' || c == ',' || c == '-'; });
                           std::replace(name.begin(), name.end(), ' ', '_');
                           return name;
                         });

}  // namespace
}  // namespace ncn::rewind
