// A configuration from a file, from --upstream, and from both.

#include <cstdio>
#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "proxy/config/config.h"

namespace outrigger::config {
namespace {

class SourceTest : public testing::Test {
 protected:
  ~SourceTest() override { std::remove(path_.c_str()); }

  void Write(std::string_view text) { std::ofstream(path_) << text; }

  const std::string path_ = testing::TempDir() + "source_test." +
                            testing::UnitTest::GetInstance()->current_test_info()->name() + ".yaml";
};

TEST_F(SourceTest, PutsTheUpstreamInPlaceOfTheEndpointsOfTheFirst) {
  Write(R"(
upstreams:
  - {name: model, endpoints: ["127.0.0.1:1", "127.0.0.1:2"], health: {path: /health}}
  - {name: other, endpoints: ["127.0.0.1:3"]}
)");
  const Expected<Config, ConfigErrors> config = Load({.file = path_, .upstream = "127.0.0.1:8000"});
  ASSERT_TRUE(config.ok()) << config.error().ToString();
  const UpstreamConfig& model = config->upstreams.at(0);
  ASSERT_EQ(model.endpoints.size(), 1);
  EXPECT_EQ(model.endpoints[0].ToString(), "127.0.0.1:8000");
  EXPECT_EQ(model.name, "model");
  EXPECT_EQ(model.health.path, "/health");
  EXPECT_EQ(config->upstreams.at(1).endpoints.at(0).ToString(), "127.0.0.1:3");
}

TEST_F(SourceTest, LeavesTheFileAsItIsWithoutAnUpstream) {
  Write("upstreams: [{endpoints: [\"127.0.0.1:1\"]}]");
  const Expected<Config, ConfigErrors> config = Load({.file = path_});
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->upstreams.at(0).endpoints.at(0).ToString(), "127.0.0.1:1");
}

TEST_F(SourceTest, DoesWithoutAnOptionalFile) {
  const Source source = {.file = path_, .upstream = "127.0.0.1:8000", .is_file_optional = true};
  const Expected<Config, ConfigErrors> config = Load(source);
  ASSERT_TRUE(config.ok()) << config.error().ToString();
  EXPECT_EQ(config->upstreams.at(0).endpoints.at(0).ToString(), "127.0.0.1:8000");
  EXPECT_FALSE(config->preset_routes.empty());
}

TEST_F(SourceTest, ReadsAnOptionalFileThatIsThere) {
  const Source source = {.file = path_, .upstream = "127.0.0.1:8000", .is_file_optional = true};
  Write("workers: 2");
  EXPECT_EQ(Load(source)->workers, 2);
  Write("workers: none");
  EXPECT_FALSE(Load(source).ok());
}

TEST_F(SourceTest, AsksForTheFileThatIsNotOptional) {
  EXPECT_FALSE(Load({.file = path_, .upstream = "127.0.0.1:8000"}).ok());
}

TEST_F(SourceTest, RefusesAnUpstreamThatIsNoAddress) {
  Write("workers: 2");
  const Expected<Config, ConfigErrors> config = Load({.file = path_, .upstream = "nowhere"});
  ASSERT_FALSE(config.ok());
  EXPECT_NE(config.error().ToString().find("--upstream"), std::string::npos);
}

}  // namespace
}  // namespace outrigger::config
