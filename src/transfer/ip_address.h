#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>

namespace ncn::transfer {

// Where an IP address leads.
enum class AddressKind {
  kPublic,
  kLoopback,   // This machine.
  kPrivate,    // A network of the operator's: RFC 1918, RFC 4193, RFC 6598.
  kForbidden,  // Link-local, multicast, unspecified, reserved; not an IP address at all.
};

// An IPv4 address inside an IPv6 one (mapped, NAT64, 6to4) counts as what it is itself.
AddressKind KindOfAddress(const sockaddr& address);

// The kind of an address that is written out, "10.0.0.1" or "[::1]"; kPublic for a name, which
// can lead anywhere.
AddressKind KindOfHost(std::string_view host);

// "10.0.0.1" or "fe80::1".
std::string PrintedAddress(const sockaddr& address);

}  // namespace ncn::transfer
