#pragma once

#include "base/output_file.h"

#include <optional>
#include <string>

namespace vkmoe::cli {

/// A file for a report, opened before the run: an error in its path comes before all the work.
class ReportFile {
  public:
    explicit ReportFile(const std::string& path) {
        if (!path.empty()) file_.emplace(path);
    }
    template <typename MakeText>
    void write(const MakeText& make_text) {
        if (!file_) return;
        file_->write(make_text());
        file_->commit();
    }

  private:
    std::optional<OutputFile> file_;
};

}  // namespace vkmoe::cli
