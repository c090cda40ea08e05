#include "filters/retry/http_date.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <iterator>

#include "absl/time/civil_time.h"

namespace outrigger::retry {
namespace {

constexpr std::string_view kDays[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                      "Friday", "Saturday", "Sunday"};
constexpr std::string_view kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct Fields {
  int year = 0;
  int month = 0;
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
};

// Consumes the text from the left; every function returns whether it found what it was asked for.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  bool Literal(std::string_view literal) {
    if (text_.substr(0, literal.size()) != literal) return false;
    text_.remove_prefix(literal.size());
    return true;
  }
  // Exactly `width` digits.
  bool Digits(size_t width, int* value) {
    if (text_.size() < width) return false;
    const char* end = text_.data() + width;
    if (*text_.data() == '-' || std::from_chars(text_.data(), end, *value).ptr != end) return false;
    text_.remove_prefix(width);
    return true;
  }
  // Two digits, or a space and one (asctime).
  bool PaddedDay(int* day) { return Literal(" ") ? Digits(1, day) : Digits(2, day); }
  bool Month(int* month) {
    const auto found = std::find(std::begin(kMonths), std::end(kMonths), text_.substr(0, 3));
    if (found == std::end(kMonths)) return false;
    *month = static_cast<int>(found - std::begin(kMonths)) + 1;
    text_.remove_prefix(3);
    return true;
  }
  bool Clock(Fields* fields) {
    return Digits(2, &fields->hour) && Literal(":") && Digits(2, &fields->minute) && Literal(":") &&
           Digits(2, &fields->second);
  }
  bool End() const { return text_.empty(); }

 private:
  std::string_view text_;
};

bool ParseImfFixdate(std::string_view text, Fields* fields) {
  Scanner scan(text);
  return scan.Literal(", ") && scan.Digits(2, &fields->day) && scan.Literal(" ") &&
         scan.Month(&fields->month) && scan.Literal(" ") && scan.Digits(4, &fields->year) &&
         scan.Literal(" ") && scan.Clock(fields) && scan.Literal(" GMT") && scan.End();
}

bool ParseRfc850(std::string_view text, absl::Time now, Fields* fields) {
  Scanner scan(text);
  const bool is_ok = scan.Literal(", ") && scan.Digits(2, &fields->day) && scan.Literal("-") &&
                     scan.Month(&fields->month) && scan.Literal("-") &&
                     scan.Digits(2, &fields->year) && scan.Literal(" ") && scan.Clock(fields) &&
                     scan.Literal(" GMT") && scan.End();
  if (!is_ok) return false;
  const int this_year = static_cast<int>(absl::ToCivilYear(now, absl::UTCTimeZone()).year());
  fields->year += this_year - this_year % 100;
  if (fields->year > this_year + 50) fields->year -= 100;
  if (fields->year <= this_year - 50) fields->year += 100;
  return true;
}

bool ParseAsctime(std::string_view text, Fields* fields) {
  Scanner scan(text);
  return scan.Literal(" ") && scan.Month(&fields->month) && scan.Literal(" ") &&
         scan.PaddedDay(&fields->day) && scan.Literal(" ") && scan.Clock(fields) &&
         scan.Literal(" ") && scan.Digits(4, &fields->year) && scan.End();
}

std::optional<absl::Time> ToTime(const Fields& fields) {
  if (fields.hour > 23 || fields.minute > 59 || fields.second > 60) return std::nullopt;
  // Civil time would make the 31st of April a first of May.
  const absl::CivilDay day(fields.year, fields.month, fields.day);
  if (day.month() != fields.month || day.day() != fields.day) return std::nullopt;
  // A leap second counts as the second after it.
  const absl::CivilSecond civil(fields.year, fields.month, fields.day, fields.hour, fields.minute,
                                fields.second);
  return absl::FromCivil(civil, absl::UTCTimeZone());
}

}  // namespace

std::optional<absl::Time> ParseHttpDate(std::string_view text, absl::Time now) {
  for (const std::string_view day : kDays) {
    Fields fields;
    if (text.substr(0, day.size()) == day) {
      if (!ParseRfc850(text.substr(day.size()), now, &fields)) return std::nullopt;
      return ToTime(fields);
    }
    if (text.substr(0, 3) != day.substr(0, 3)) continue;
    const std::string_view rest = text.substr(3);
    const bool is_ok =
        rest.substr(0, 1) == "," ? ParseImfFixdate(rest, &fields) : ParseAsctime(rest, &fields);
    if (!is_ok) return std::nullopt;
    return ToTime(fields);
  }
  return std::nullopt;
}

}  // namespace outrigger::retry
