// Command-line flags of the bench programs: `--name value`, or `--name` alone for a switch.
//
//   Flags flags(argc, argv);
//   const int64_t connections = flags.Int("connections", 32);
//   flags.RefuseUnknown();
//
// A wrong value or an unknown flag ends the process with a message.

#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace outrigger::bench {

class Flags {
 public:
  Flags(int argc, char** argv);

  std::string Text(const std::string& name, std::string_view otherwise);
  int64_t Int(const std::string& name, int64_t otherwise);
  double Real(const std::string& name, double otherwise);
  bool Switch(const std::string& name);
  // An empty `otherwise` makes the flag mandatory.
  sockaddr_in Address(const std::string& name, std::string_view otherwise);

  // Call after all flags were asked for.
  void RefuseUnknown() const;

 private:
  struct Value {
    std::string text;
    bool is_known = false;
  };
  std::map<std::string, Value> values_;
};

}  // namespace outrigger::bench
