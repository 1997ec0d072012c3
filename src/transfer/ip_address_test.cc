#include "transfer/ip_address.h"

#include "gtest/gtest.h"

namespace ncn::transfer {
namespace {

TEST(IpAddressTest, TellsWhereAnAddressLeads) {
  for (const char* host : {"1.1.1.1", "172.15.0.1", "172.32.0.1", "100.128.0.1", "223.255.255.255",
                           "[2606:4700::1111]", "2002:0101:0101::1", "64:ff9b::1.1.1.1"}) {
    EXPECT_EQ(KindOfHost(host), AddressKind::kPublic) << host;
  }
  for (const char* host : {"127.0.0.1", "127.255.0.9", "[::1]", "::ffff:127.0.0.1"}) {
    EXPECT_EQ(KindOfHost(host), AddressKind::kLoopback) << host;
  }
  for (const char* host :
       {"10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1", "100.127.255.255",
        "fd00::1", "[fc00::1]", "::ffff:10.0.0.1", "64:ff9b::192.168.0.1", "2002:0a00:0001::1"}) {
    EXPECT_EQ(KindOfHost(host), AddressKind::kPrivate) << host;
  }
  for (const char* host :
       {"0.0.0.0", "0.1.2.3", "169.254.169.254", "224.0.0.1", "255.255.255.255", "240.0.0.1",
        "198.18.0.1", "192.0.2.1", "::", "fe80::1", "fec0::1", "ff02::1", "::ffff:169.254.169.254",
        "::10.0.0.1", "2001:db8::1", "2001::1", "64:ff9b:1::1"}) {
    EXPECT_EQ(KindOfHost(host), AddressKind::kForbidden) << host;
  }
  EXPECT_EQ(KindOfHost("example.com"), AddressKind::kPublic);
}

TEST(IpAddressTest, RefusesAddressesOfOtherFamilies) {
  sockaddr address = {};
  address.sa_family = AF_UNIX;
  EXPECT_EQ(KindOfAddress(address), AddressKind::kForbidden);
}

}  // namespace
}  // namespace ncn::transfer
