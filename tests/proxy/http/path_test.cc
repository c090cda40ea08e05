#include "proxy/http/path.h"

#include <gtest/gtest.h>

#include <cctype>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/random.h"

namespace outrigger::http {
namespace {

struct Case {
  std::string_view target;
  std::string_view path;
  std::string_view query = {};
};

TEST(Path, SpellingsOfOneResourceBecomeOne) {
  const Case cases[] = {
      {"/", "/"},
      {"/v1/chat", "/v1/chat"},
      {"/v1/chat/", "/v1/chat/"},
      {"/v1/chat?stream=1", "/v1/chat", "stream=1"},
      {"/v1/chat?", "/v1/chat", ""},
      {"/?a?b//../%2f", "/", "a?b//../%2f"},
      // Unreserved characters, RFC 3986, 6.2.2.2.
      {"/v1/%63hat", "/v1/chat"},
      {"/%7euser/%2D%2e%5F", "/~user/-._"},
      {"/%41%5A%61%7A%30%39", "/AZaz09"},
      // Case of what stays escaped, 6.2.2.1.
      {"/a%3ab%c3%a4", "/a%3Ab%C3%A4"},
      {"/a%20b", "/a%20b"},
      {"/a%25b", "/a%25b"},
      {"/a%252fb", "/a%252fb"},
      // Slashes.
      {"//v1/chat", "/v1/chat"},
      {"///", "/"},
      {"/v1///chat//", "/v1/chat/"},
      // Dot segments, 6.2.2.3 and 5.2.4.
      {"/.", "/"},
      {"/..", "/"},
      {"/./", "/"},
      {"/../", "/"},
      {"/a/b/c/./../../g", "/a/g"},
      {"/mid/content=5/../6", "/mid/6"},
      {"/../../v1", "/v1"},
      {"/a/..", "/"},
      {"/a/../", "/"},
      {"/a/b/..", "/a/"},
      {"/a/b/.", "/a/b/"},
      {"/a//../b", "/b"},
      {"/a/%2e%2E/b", "/b"},
      {"/a/.%2e/b", "/b"},
      {"/a/%2e/b", "/a/b"},
      // Not dot segments.
      {"/.well-known/x", "/.well-known/x"},
      {"/..a/.b/c../d.", "/..a/.b/c../d."},
      {"/...", "/..."},
      {"/a;x=../b", "/a;x=../b"},
      {"*", "*"},
  };
  for (const Case& c : cases) {
    Arena arena;
    NormalPath path;
    EXPECT_EQ(NormalizePath(c.target, arena, path), "") << c.target;
    EXPECT_EQ(path.path, c.path) << c.target;
    EXPECT_EQ(path.query, c.query) << c.target;
  }
}

TEST(Path, WhatTheServiceCouldReadOtherwiseIsRefused) {
  using namespace std::string_view_literals;
  const std::string_view targets[] = {
      "/a%2fb"sv, "/a%2Fb"sv, "/%2f"sv,     "/a%5cb"sv,     "/a%5Cb"sv, "/a\\b"sv,  "/a%00"sv,
      "/%"sv,     "/a%2"sv,   "/%zz"sv,     "/%2"sv,        "/%%41"sv,  "/%4 1"sv,  "/a b"sv,
      "/a\tb"sv,  "/a\0b"sv,  "/a\x7f"sv,   "/a\xc3\xa4"sv, "/a#b"sv,   "/a?b#c"sv, ""sv,
      "a/b"sv,    "?x"sv,     "http://h"sv, "**"sv,         "%2f"sv,
  };
  for (std::string_view target : targets) {
    Arena arena;
    NormalPath path;
    EXPECT_NE(NormalizePath(target, arena, path), "") << target;
  }
}

TEST(Path, NormalPathIsNotCopied) {
  for (std::string_view target : {"/v1/chat/completions?x=%2f", "/", "/%C3%A4/.a/b..", "*"}) {
    Arena arena;
    NormalPath path;
    ASSERT_EQ(NormalizePath(target, arena, path), "");
    EXPECT_EQ(path.path.data(), target.data());
    EXPECT_EQ(arena.reserved_bytes(), 0u);
  }
}

// The same in three obvious passes over a list of segments.
std::string SlowNormalPath(std::string_view path) {
  std::string decoded;
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      decoded += path[i];
      continue;
    }
    std::string hex(path.substr(i + 1, 2));
    i += 2;
    const int byte = std::stoi(hex, nullptr, 16);
    if (byte < 0x80 && (std::isalnum(byte) != 0 || std::strchr("-._~", byte) != nullptr)) {
      decoded += static_cast<char>(byte);
    } else {
      for (char& c : hex) c = static_cast<char>(std::toupper(c));
      decoded += "%" + hex;
    }
  }
  std::vector<std::string> segments;
  std::string segment;
  bool ends_with_slash = true;
  for (char c : decoded + "/") {
    if (c != '/') {
      segment += c;
      continue;
    }
    ends_with_slash = segment.empty() || segment == "." || segment == "..";
    if (segment == ".." && !segments.empty()) segments.pop_back();
    if (!ends_with_slash) segments.push_back(segment);
    segment.clear();
  }
  std::string out;
  for (const std::string& part : segments) out += "/" + part;
  if (ends_with_slash) out += "/";
  return out;
}

TEST(Path, AgreesWithASlowModelAndIsAFixedPoint) {
  constexpr uint64_t kSeed = 20240611;
  constexpr std::string_view kParts[] = {"/",   "/",   ".",   "..",  "a",   "%2e",
                                         "%2E", "%41", "%c3", "%3A", "/./", "/../"};
  Random random(kSeed);
  for (int round = 0; round < 20000; ++round) {
    std::string target = "/";
    for (uint64_t n = random.Below(10); n > 0; --n) {
      target += kParts[random.Below(std::size(kParts))];
    }
    SCOPED_TRACE("seed " + std::to_string(kSeed) + ", round " + std::to_string(round));
    Arena arena;
    NormalPath path;
    ASSERT_EQ(NormalizePath(target, arena, path), "") << target;
    ASSERT_EQ(path.path, SlowNormalPath(target)) << target;
    NormalPath again;
    ASSERT_EQ(NormalizePath(path.path, arena, again), "");
    ASSERT_EQ(again.path.data(), path.path.data()) << "not normal: " << path.path;
  }
}

}  // namespace
}  // namespace outrigger::http
