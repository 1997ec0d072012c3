#include "sandbox/launch_protocol.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ncn::sandbox {
namespace {

LaunchRequest FullRequest() {
  LaunchRequest request;
  request.argv = {"/usr/bin/true", "", "a b"};
  request.environment = {"A=b"};
  request.namespaces = 0x7e020000;
  request.inside_uid = request.inside_gid = 1000;
  request.host_uid = request.host_gid = 65534;
  request.binds = {{"/usr", "/usr", 1, 2, true, true}, {"/m/x", "/model", 3, 4, false, false}};
  request.symlinks = {{"/bin", "usr/bin"}};
  request.files = {{"/etc/passwd", "x\n"}};
  request.workspace_bytes = 1ULL << 40;
  request.workspace_inodes = 7;
  request.working_folder = "/work";
  request.rlimits = {{9, 1, 2}};
  request.landlock_paths = {{"/usr", LandlockAccess::kExecute}};
  request.makes_sandboxes = true;
  request.cgroups = 3;
  request.inherited = 2;
  request.fail_step = 1;
  return request;
}

LaunchReport FullReport() {
  LaunchReport report;
  report.kind = ReportKind::kHeld;
  report.step = SetupStep::kSeccomp;
  report.error = -1;
  report.detail = "detail";
  report.listener = 4;
  report.work_folder = 5;
  report.landlock_abi = 7;
  report.steps = {{SetupStep::kRoot, 12}};
  report.wait_status = 256;
  report.cpu_us = 1ULL << 50;
  report.rss_peak_kib = 99;
  return report;
}

TEST(LaunchProtocolTest, WhatIsEncodedComesBack) {
  const auto bytes = Encode(FullRequest());
  ASSERT_TRUE(bytes.ok());
  const auto request = DecodeLaunchRequest(*bytes);
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_TRUE(*request == FullRequest());
  const auto report = DecodeLaunchReport(Encode(FullReport()));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(*report == FullReport());
}

TEST(LaunchProtocolTest, ACloneRequestComesBackAndNothingElsePassesForOne) {
  const CloneRequest request{0x7e020000, 1000, 1001, 65534, 65533, 1};
  const std::string bytes = Encode(request);
  const auto decoded = DecodeCloneRequest(bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_TRUE(*decoded == request);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(DecodeCloneRequest(bytes.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(DecodeCloneRequest(bytes + "x").ok());
  EXPECT_FALSE(DecodeCloneRequest(*Encode(FullRequest())).ok());
  EXPECT_FALSE(DecodeLaunchRequest(bytes).ok());
}

TEST(LaunchProtocolTest, EveryCutAndEveryAdditionIsRefused) {
  const std::string request = *Encode(FullRequest());
  for (std::size_t size = 0; size < request.size(); ++size) {
    EXPECT_FALSE(DecodeLaunchRequest(request.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(DecodeLaunchRequest(request + "x").ok());
  const std::string report = Encode(FullReport());
  for (std::size_t size = 0; size < report.size(); ++size) {
    EXPECT_FALSE(DecodeLaunchReport(report.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(DecodeLaunchReport(report + "x").ok());
  EXPECT_FALSE(DecodeLaunchReport(request).ok());
}

TEST(LaunchProtocolTest, AnyDamagedByteIsRefusedOrDecodesToWhatEncodesTheSame) {
  const std::string whole = *Encode(FullRequest());
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      const auto request = DecodeLaunchRequest(damaged);
      if (request.ok()) {
        EXPECT_EQ(*Encode(*request), damaged) << at;
      }
    }
  }
}

TEST(LaunchProtocolTest, RequestsThatMakeNoSenseAreRefused) {
  const auto refused = [](auto&& change) {
    LaunchRequest request = FullRequest();
    change(request);
    return !DecodeLaunchRequest(*Encode(request)).ok();
  };
  EXPECT_TRUE(refused([](LaunchRequest& r) { r.argv.clear(); }));
  EXPECT_TRUE(refused([](LaunchRequest& r) { r.argv[0] = std::string("a\0b", 3); }));
  EXPECT_TRUE(refused([](LaunchRequest& r) { r.binds[0].inside_path = "usr"; }));
  EXPECT_TRUE(refused([](LaunchRequest& r) { r.binds[0].host_path = ""; }));
  EXPECT_TRUE(refused([](LaunchRequest& r) { r.working_folder = "work"; }));
  EXPECT_TRUE(refused([](LaunchRequest& r) { r.rlimits[0].resource = 16; }));
  EXPECT_TRUE(refused([](LaunchRequest& r) { r.cgroups = 5; }));
  EXPECT_TRUE(refused([](LaunchRequest& r) { r.inherited = 3; }));
  EXPECT_TRUE(
      refused([](LaunchRequest& r) { r.landlock_paths.resize(1025, r.landlock_paths[0]); }));
}

TEST(LaunchProtocolTest, ARequestThatDoesNotFitAMessageIsRefusedBeforeItIsSent) {
  LaunchRequest request = FullRequest();
  request.environment.push_back("BIG=" + std::string(kMessageBytesMax, 'x'));
  EXPECT_EQ(Encode(request).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace ncn::sandbox
