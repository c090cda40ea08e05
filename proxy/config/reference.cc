#include <algorithm>

#include "fmt/format.h"
#include "proxy/config/config.h"
#include "proxy/config/description.h"

namespace outrigger::config {
namespace {

constexpr std::string_view kIntroduction = R"(# Configuration

<!-- Generated from the descriptions in proxy/config by `outrigger schema --format markdown`. -->

One YAML file, given as `outrigger serve --config FILE`; `outrigger check --config FILE` says what is
wrong with it, everything at once, with line and column. Every key is optional. `docs/example.yaml`
shows all of them in place, and `outrigger schema` prints a JSON Schema for editors. A running proxy
takes a changed file over, see `docs/reload.md`.

| Values | Written as |
|---|---|
| durations | `250ms`, `5s`, `1h30m`; the units are `d`, `h`, `m`, `s`, `ms`, `us` |
| sizes | `512`, `64KiB`, `2MiB`, `1GiB`; also `kB`, `MB`, `GB` for powers of 1000 |
| rates | `100/s`, `6000/m`, `10/h`, `5/10s` |
| ratios | `20%` or `0.2` |
| addresses | `host:port`, `[v6]:port`, `unix:/path` |

Words such as `enforce`, `none` and `auto` stand for themselves; `on`, `off`, `yes` and `no` are not
used, because YAML reads them as booleans. Anchors and aliases may be used, merge keys (`<<`) and tags
may not. A key that is named here as not supported yet is refused.

Settings of a request come from four places, the later ones winning: the defaults below, the preset
of its route, what `filters` states, what the route states in its own `filters`. Mappings are merged
key by key, lists are replaced.
)";

// In a table cell a bar would end the cell.
std::string Cell(std::string_view text) {
  std::string cell;
  for (const char c : text) {
    if (c == '|') cell += '\\';
    cell += c;
  }
  return cell;
}

std::string Code(std::string_view text) { return text.empty() ? "" : fmt::format("`{}`", text); }

// The page is a list of headings, each with the keys below it.
class Page {
 public:
  void Add(const KeyDescription& line) {
    if (IsHeading(line.key)) {
      AddHeading(line);
    } else {
      AddRow(line);
    }
  }
  std::string text() && { return std::move(text_); }

 private:
  static constexpr std::string_view kFilterPrefix = "filters[].";

  static bool IsHeading(std::string_view key) {
    if (key.starts_with(kFilterPrefix)) key.remove_prefix(kFilterPrefix.size());
    return key.find_first_of(".[") == key.npos;
  }

  void AddHeading(const KeyDescription& line) {
    const bool is_filter = line.key.starts_with(kFilterPrefix);
    prefix_ = line.key;
    in_table_ = false;
    text_ += fmt::format("\n{} `{}`\n\n{}.\n", is_filter ? "###" : "##",
                         is_filter ? line.key.substr(kFilterPrefix.size()) : line.key, line.help);
    if (is_filter) return;
    if (!line.default_value.empty() && line.default_value.front() != '{') {
      text_ += fmt::format("\nA value is {}. Default: {}.\n", line.type, line.default_value);
    }
  }

  void AddRow(const KeyDescription& line) {
    if (!in_table_) {
      text_ += "\n| Key | Value | Default | Meaning |\n|---|---|---|---|\n";
      in_table_ = true;
    }
    // Relative to the heading: `limits.headers` rather than `listeners[].limits.headers`.
    std::string_view key = std::string_view(line.key).substr(prefix_.size());
    if (key.starts_with("[]")) key.remove_prefix(2);
    if (key.starts_with('.')) key.remove_prefix(1);
    text_ += fmt::format("| `{}` | {} | {} | {} |\n", key, Cell(line.type),
                         Cell(Code(line.default_value)), Cell(line.help));
  }

  std::string prefix_;
  bool in_table_ = false;
  std::string text_{kIntroduction};
};

}  // namespace

std::string ReferencePage() {
  std::vector<KeyDescription> lines;
  DescribeConfig()->DescribeKeys("", lines);
  Page page;
  for (const KeyDescription& line : lines) page.Add(line);
  return std::move(page).text();
}

}  // namespace outrigger::config
