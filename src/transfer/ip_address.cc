#include "transfer/ip_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>

namespace ncn::transfer {
namespace {

struct Network4 {
  std::uint32_t address;
  int prefix_bits;
  AddressKind kind;
};

// IANA's registry of special-purpose addresses; what is not globally reachable.
constexpr std::array kSpecial4 = {
    Network4{0x00000000, 8, AddressKind::kForbidden},   // "this network"
    Network4{0x0a000000, 8, AddressKind::kPrivate},     // 10/8
    Network4{0x64400000, 10, AddressKind::kPrivate},    // 100.64/10, carriers' NAT
    Network4{0x7f000000, 8, AddressKind::kLoopback},    // 127/8
    Network4{0xa9fe0000, 16, AddressKind::kForbidden},  // 169.254/16, link-local, cloud metadata
    Network4{0xac100000, 12, AddressKind::kPrivate},    // 172.16/12
    Network4{0xc0000000, 24, AddressKind::kForbidden},  // 192.0.0/24, protocols
    Network4{0xc0000200, 24, AddressKind::kForbidden},  // 192.0.2/24, documentation
    Network4{0xc0586300, 24, AddressKind::kForbidden},  // 192.88.99/24, 6to4 relays
    Network4{0xc0a80000, 16, AddressKind::kPrivate},    // 192.168/16
    Network4{0xc6120000, 15, AddressKind::kForbidden},  // 198.18/15, benchmarks
    Network4{0xc6336400, 24, AddressKind::kForbidden},  // 198.51.100/24, documentation
    Network4{0xcb007100, 24, AddressKind::kForbidden},  // 203.0.113/24, documentation
    Network4{0xe0000000, 3, AddressKind::kForbidden},   // 224/3: multicast, reserved, broadcast
};

AddressKind KindOf4(std::uint32_t address) {
  for (const Network4& network : kSpecial4) {
    if ((address ^ network.address) >> (32 - network.prefix_bits) == 0) return network.kind;
  }
  return AddressKind::kPublic;
}

std::uint32_t BigEndian32(std::span<const unsigned char> bytes) {
  return static_cast<std::uint32_t>(bytes[0]) << 24 | static_cast<std::uint32_t>(bytes[1]) << 16 |
         static_cast<std::uint32_t>(bytes[2]) << 8 | bytes[3];
}

AddressKind KindOf6(const in6_addr& address) {
  const std::span<const unsigned char, 16> bytes(address.s6_addr);
  const auto begins = [&](std::initializer_list<unsigned char> prefix) {
    return std::equal(prefix.begin(), prefix.end(), bytes.begin());
  };
  if (IN6_IS_ADDR_LOOPBACK(&address)) return AddressKind::kLoopback;
  if (IN6_IS_ADDR_V4MAPPED(&address)) return KindOf4(BigEndian32(bytes.subspan(12)));
  if (begins({0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0})) {  // NAT64
    return KindOf4(BigEndian32(bytes.subspan(12)));
  }
  if (begins({0x20, 0x02})) return KindOf4(BigEndian32(bytes.subspan(2)));  // 6to4
  if ((bytes[0] & 0xfe) == 0xfc) return AddressKind::kPrivate;              // fc00::/7
  if ((bytes[0] & 0xe0) != 0x20) return AddressKind::kForbidden;            // not of 2000::/3
  if (begins({0x20, 0x01, 0x0d, 0xb8})) return AddressKind::kForbidden;     // documentation
  // 2001::/23, protocols, Teredo among them
  if (begins({0x20, 0x01}) && bytes[2] < 2) return AddressKind::kForbidden;
  return AddressKind::kPublic;
}

}  // namespace

AddressKind KindOfAddress(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, &address, sizeof(in));
    return KindOf4(ntohl(in.sin_addr.s_addr));
  }
  if (address.sa_family == AF_INET6) {
    sockaddr_in6 in6;
    std::memcpy(&in6, &address, sizeof(in6));
    return KindOf6(in6.sin6_addr);
  }
  return AddressKind::kForbidden;
}

AddressKind KindOfHost(std::string_view host) {
  if (host.size() > 1 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  const std::string text(host);
  in_addr in;
  if (::inet_pton(AF_INET, text.c_str(), &in) == 1) return KindOf4(ntohl(in.s_addr));
  in6_addr in6;
  if (::inet_pton(AF_INET6, text.c_str(), &in6) == 1) return KindOf6(in6);
  return AddressKind::kPublic;
}

std::string PrintedAddress(const sockaddr& address) {
  std::array<char, INET6_ADDRSTRLEN> text = {};
  if (address.sa_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, &address, sizeof(in));
    ::inet_ntop(AF_INET, &in.sin_addr, text.data(), text.size());
  } else if (address.sa_family == AF_INET6) {
    sockaddr_in6 in6;
    std::memcpy(&in6, &address, sizeof(in6));
    ::inet_ntop(AF_INET6, &in6.sin6_addr, text.data(), text.size());
  }
  return text.data();
}

}  // namespace ncn::transfer
